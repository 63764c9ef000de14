//! AnalysisTemplate: metrics and the rules that judge them, shared by several Rollouts.
//!
//! A metric is a query, a rule for a good sample, a rule for a bad one, and how many of which end the
//! analysis. The same types stand inline in a Rollout; a template gives them a name and arguments.
//! It has no reconciler: the Rollout that names it reads it (`template.rs`), and hears of its edits.

pub mod api;
pub mod template;
