//! `slipway-runner`: the program inside stage pods.
//!
//! `install` copies itself into the pod's volume, `source` fetches the commit, `stage` runs a script,
//! `build` builds an image. What to do comes as one JSON value in the environment (`task`), how it went
//! goes back as the container's termination message (`report`). Nothing from outside is ever spliced
//! into a command line.

pub mod report;
pub mod task;
