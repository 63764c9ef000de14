//! What is wrong with a spec, and where. No I/O.

/// Something in the spec that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where, as a path into the object.
    pub path: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Invalid {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// All problems in one line.
pub fn sentence(problems: &[Invalid]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|invalid| format!("{}: {}", invalid.path, invalid.problem))
        .collect();
    lines.join("; ")
}
