//! What buildctl is told, and what is made of its end.

use std::collections::BTreeMap;

use super::*;

fn task() -> BuildTask {
    BuildTask {
        dockerfile: "services/api/Dockerfile".into(),
        context: "services/api".into(),
        args: BTreeMap::from([("TITLE".into(), "$(touch /tmp/evil) `id`".into())]),
        image: "registry.example:5000/shop/api".into(),
        insecure: true,
        timeout_seconds: 60,
    }
}

fn places() -> Places {
    Places {
        socket: "unix:///w/buildkitd.sock".into(),
        config: "/w/buildkitd.toml".into(),
        metadata: "/w/metadata.json".into(),
        checkout: "/w/source".into(),
        context: "/w/source/services/api".into(),
    }
}

fn done(end: End, tail: &str) -> Finished {
    Finished {
        end,
        tail: tail.into(),
    }
}

#[test]
fn every_value_is_an_argument_of_its_own() {
    let commit = CommitFile {
        sha: "a".repeat(40),
        committed_at: 1_800_000_000,
    };
    let command = client(&task(), &places(), &commit);
    let args: Vec<&str> = command.get_args().filter_map(|arg| arg.to_str()).collect();
    insta::assert_snapshot!(args.join("\n"), @r"
    --addr
    unix:///w/buildkitd.sock
    build
    --progress=plain
    --frontend
    dockerfile.v0
    --local
    context=/w/source/services/api
    --local
    dockerfile=/w/source
    --opt
    filename=services/api/Dockerfile
    --output
    type=image,name=registry.example:5000/shop/api,push=true,push-by-digest=true,name-canonical=true,rewrite-timestamp=true,registry.insecure=true
    --metadata-file
    /w/metadata.json
    --opt
    build-arg:SOURCE_DATE_EPOCH=1800000000
    --opt
    build-arg:TITLE=$(touch /tmp/evil) `id`
    ");
}

#[test]
fn an_insecure_registry_is_one_for_base_images_too() {
    assert!(daemon_config(&task()).starts_with("[registry.\"registry.example:5000\"]"));
    let secure = BuildTask {
        insecure: false,
        ..task()
    };
    assert_eq!(daemon_config(&secure), "");
}

#[test]
fn a_failed_build_a_refused_push_and_a_timeout_are_told_apart() {
    let judge = |end, tail: &str| judge(&task(), &places(), &done(end, tail), false);
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
    let lost = judge(End::Exited(0), "");
    assert_eq!(lost.failure, Some(FailureKind::Infra));
}

#[test]
fn a_folder_or_file_that_is_not_there_is_named() {
    let folder = crate::runner::tests::Folder::new("build");
    let folders = folder.folders();
    std::fs::create_dir_all(folders.checkout().join("services/api")).unwrap();
    let problem = |task: &BuildTask| Places::new(task, &folders).err().unwrap().1;
    assert!(problem(&task()).contains("services/api/Dockerfile"));
    let outside = BuildTask {
        context: "services/out".into(),
        ..task()
    };
    std::os::unix::fs::symlink("/", folders.checkout().join("services/out")).unwrap();
    assert!(problem(&outside).contains("no folder services/out"));
}
