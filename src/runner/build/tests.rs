//! What is made of the end of a builder, and of what the repository has.

use std::collections::BTreeMap;

use super::*;
use crate::pipeline::api::CacheMode;
use crate::runner::task::CacheTask;

pub(super) fn task() -> BuildTask {
    BuildTask {
        builder: Builder::BuildKit,
        isolation: Isolation::Privileged,
        dockerfile: "services/api/Dockerfile".into(),
        context: "services/api".into(),
        target: None,
        args: BTreeMap::from([("TITLE".into(), "$(touch /tmp/evil) `id`".into())]),
        secrets: Vec::new(),
        labels: BTreeMap::from([("team".into(), "a=b, \"c\"".into())]),
        images: vec!["registry.example:5000/shop/api".into()],
        pushes: true,
        insecure: true,
        reproducible: true,
        cache: None,
        platform: None,
        timeout_seconds: 60,
    }
}

/// Everything that there is.
pub(super) fn full() -> BuildTask {
    BuildTask {
        target: Some("runtime".into()),
        secrets: vec!["npm".into()],
        images: vec![
            "registry.example:5000/shop/api".into(),
            "backup.example/shop/api".into(),
        ],
        cache: Some(CacheTask {
            repository: "registry.example:5000/shop/cache".into(),
            from: vec!["cache-feature".into(), "cache-main".into()],
            to: Some("cache-feature".into()),
            mode: CacheMode::Max,
        }),
        platform: Some("linux/arm64".into()),
        ..task()
    }
}

pub(super) fn places() -> Places {
    Places {
        workspace: "/w".into(),
        checkout: "/w/source".into(),
        context: "/w/source/services/api".into(),
    }
}

pub(super) fn commit() -> CommitFile {
    CommitFile {
        sha: "a".repeat(40),
        committed_at: 1_800_000_000,
    }
}

pub(super) fn arguments(command: &Command) -> String {
    let args: Vec<&str> = command.get_args().filter_map(|arg| arg.to_str()).collect();
    args.join("\n")
}

fn done(end: End, tail: &str) -> Finished {
    Finished {
        end,
        tail: tail.into(),
    }
}

#[test]
fn a_failed_build_a_refused_push_and_a_timeout_are_told_apart() {
    let judge = |end, tail: &str| failed(&task(), &done(end, tail), false);
    let build = judge(
        End::Exited(1),
        "#5 ERROR\nerror: failed to solve: exit code 2\n",
    );
    assert_eq!(build.failure, Some(FailureKind::Build));
    assert_eq!(
        build.message.as_deref(),
        Some("failed to solve: exit code 2")
    );
    let push = judge(
        End::Exited(1),
        "error: failed to push registry.example: 401",
    );
    assert_eq!(push.failure, Some(FailureKind::Registry));
    let late = judge(End::TimedOut, "");
    assert_eq!(late.failure, Some(FailureKind::Timeout));
    let lost = built(&task(), None);
    assert_eq!(lost.failure, Some(FailureKind::Infra));
    let strange = built(&task(), Some("latest".into()));
    assert_eq!(strange.failure, Some(FailureKind::Infra));
}

#[test]
fn a_step_that_prints_the_words_of_a_registry_is_no_registry() {
    let log = "#7 0.2 the push was unauthorized\n#7 ERROR\nerror: failed to solve: exit code 1\n";
    let report = failed(&task(), &done(End::Exited(1), log), false);
    assert_eq!(report.failure, Some(FailureKind::Build));
}

#[test]
fn only_a_registry_that_does_not_answer_is_asked_again() {
    let log = "error: failed to solve: failed to push r/a: unexpected status from HEAD request: 503 Service Unavailable";
    assert!(may_go_away(&done(End::Exited(1), log)));
    assert!(!may_go_away(&done(End::TimedOut, log)));
    let step = "error: failed to solve: process \"curl\" did not complete successfully: connection refused";
    assert!(!may_go_away(&done(End::Exited(1), step)));
    let refused = "error: failed to push r/a: 401 Unauthorized";
    assert!(!may_go_away(&done(End::Exited(1), refused)));
}

#[test]
fn a_node_that_refuses_is_told_with_what_helps() {
    let task = BuildTask {
        isolation: Isolation::Rootless,
        ..task()
    };
    let log =
        "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 12 [0 1000 1] failed\n";
    let report = failed(&task, &done(End::Exited(1), log), false);
    assert_eq!(report.failure, Some(FailureKind::Isolation));
    let message = report.message.unwrap();
    assert!(message.contains("isolation Rootless") && message.contains("max_user_namespaces"));
}

#[test]
fn a_step_for_another_processor_is_told_from_a_failed_one() {
    let task = BuildTask {
        platform: Some("linux/arm64".into()),
        ..task()
    };
    let log = "#6 0.1 exec /bin/sh: exec format error\nerror: failed to solve: exit code 255\n";
    let report = failed(&task, &done(End::Exited(1), log), false);
    assert_eq!(report.failure, Some(FailureKind::Platform));
    assert!(report.message.unwrap().contains("linux/arm64"));
}

#[test]
fn a_pod_that_is_root_of_its_node_has_no_user_namespace_of_its_own() {
    assert!(expect_user_namespace("         0          0 4294967295\n").is_err());
    assert!(expect_user_namespace("         0     131072      65536\n").is_ok());
}

#[test]
fn a_build_that_is_not_pushed_is_no_failure() {
    let task = BuildTask {
        pushes: false,
        ..task()
    };
    let report = built(&task, None);
    assert_eq!((report.failure, report.digest), (None, None));
    assert!(report.message.unwrap().contains("pushOn"));
}

#[test]
fn a_folder_or_file_that_is_not_there_or_outside_is_named() {
    let folder = crate::runner::tests::Folder::new("build");
    let folders = folder.folders();
    std::fs::create_dir_all(folders.checkout().join("services/api")).unwrap();
    let problem = |task: &BuildTask| Places::new(task, &folders).err().unwrap().1;
    assert!(problem(&task()).contains("services/api/Dockerfile"));
    let link = folders.checkout().join("services/api/Dockerfile");
    std::os::unix::fs::symlink("/etc/hosts", link).unwrap();
    assert!(problem(&task()).contains("services/api/Dockerfile"));
    let outside = BuildTask {
        context: "services/out".into(),
        ..task()
    };
    std::os::unix::fs::symlink("/", folders.checkout().join("services/out")).unwrap();
    assert!(problem(&outside).contains("no folder services/out"));
}
