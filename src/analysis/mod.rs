//! AnalysisTemplate: metrics and the rules that judge them, shared by several Rollouts.
//!
//! A metric is a query, a rule for a good sample, a rule for a bad one, and how many of which end the
//! analysis. The same types stand inline in a Rollout; a template only gives them a name and arguments.
//! It has no reconciler: the Rollout that refers to it reads it.

pub mod api;
