//! What buildctl and buildkitd are told.

use super::super::tests::{arguments, commit, full, places, task};
use super::*;

fn told(task: &BuildTask) -> String {
    let files = Files::in_folder(Path::new("/w"));
    arguments(&client(task, &places(), &files, &commit()))
}

#[test]
fn every_value_is_an_argument_of_its_own() {
    insta::assert_snapshot!(told(&task()), @r#"
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
    --metadata-file
    /w/metadata.json
    --output
    type=image,"name=registry.example:5000/shop/api",push=true,push-by-digest=true,name-canonical=true,rewrite-timestamp=true,registry.insecure=true
    --opt
    build-arg:SOURCE_DATE_EPOCH=1800000000
    --opt
    build-arg:TITLE=$(touch /tmp/evil) `id`
    --opt
    label:org.opencontainers.image.created=2027-01-15T08:00:00Z
    --opt
    label:team=a=b, "c"
    "#);
}

#[test]
fn everything_that_there_is() {
    insta::assert_snapshot!(told(&full()), @r#"
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
    --metadata-file
    /w/metadata.json
    --output
    type=image,"name=registry.example:5000/shop/api,backup.example/shop/api",push=true,push-by-digest=true,name-canonical=true,rewrite-timestamp=true,registry.insecure=true
    --opt
    target=runtime
    --opt
    platform=linux/arm64
    --opt
    build-arg:SOURCE_DATE_EPOCH=1800000000
    --opt
    build-arg:TITLE=$(touch /tmp/evil) `id`
    --opt
    label:org.opencontainers.image.created=2027-01-15T08:00:00Z
    --opt
    label:team=a=b, "c"
    --secret
    id=npm,src=/slipway-secrets/npm
    --import-cache
    type=registry,ref=registry.example:5000/shop/cache:cache-feature,registry.insecure=true
    --import-cache
    type=registry,ref=registry.example:5000/shop/cache:cache-main,registry.insecure=true
    --export-cache
    type=registry,ref=registry.example:5000/shop/cache:cache-feature,registry.insecure=true,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true
    "#);
}

#[test]
fn without_a_push_nothing_leaves_the_builder() {
    let task = BuildTask {
        pushes: false,
        reproducible: false,
        ..task()
    };
    let told = told(&task);
    assert!(!told.contains("--output") && !told.contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn an_insecure_registry_is_one_for_base_images_too() {
    let config = daemon_config(&full());
    assert_eq!(config.matches("http = true").count(), 2, "{config}");
    assert!(config.contains("[registry.\"registry.example:5000\"]"));
    let secure = BuildTask {
        insecure: false,
        ..full()
    };
    assert_eq!(daemon_config(&secure), "");
}

#[test]
fn a_rootless_daemon_is_started_in_a_namespace_of_its_own() {
    let files = Files::in_folder(Path::new("/w"));
    let rootless = daemon(Isolation::Rootless, &files);
    assert_eq!(rootless.get_program(), "rootlesskit");
    let user = rootless.get_envs().find(|(name, _)| *name == "USER");
    assert_eq!(user.and_then(|(_, value)| value), Some("user".as_ref()));
    let told = arguments(&rootless);
    assert!(told.starts_with("buildkitd\n--oci-worker-no-process-sandbox\n"));
    assert_eq!(
        daemon(Isolation::Privileged, &files).get_program(),
        "buildkitd"
    );
}
