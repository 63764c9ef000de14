//! What runs, written into a file of people's repository: a file of kustomize or values of a Helm chart. No I/O.
//!
//! `yaml` changes a text where it has to be changed and nowhere else, so that comments, order and style stay as people have
//! them; `edit` says what has to be changed, and proves afterwards that nothing else was; `file` is such a file in a
//! repository. What becomes of it is one exchange, which the shell carries out ([`crate::model::change`]).

pub mod edit;
pub mod file;
pub mod yaml;
