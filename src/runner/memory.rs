//! Whether the kernel has killed something in this container for its memory. Talks to the operating system.

use std::path::Path;

/// Where the kernel counts, with cgroups of version 2 and 1.
const COUNTERS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// How often the kernel has killed something in this container for its memory; nothing where it does not say.
pub fn kills() -> Option<u64> {
    COUNTERS.iter().find_map(|path| {
        let text = std::fs::read_to_string(Path::new(path)).ok()?;
        parse(&text)
    })
}

fn parse(text: &str) -> Option<u64> {
    let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        assert_eq!(parse("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\n"), Some(3));
        assert_eq!(
            parse("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            Some(1)
        );
        assert_eq!(parse(""), None);
    }
}
