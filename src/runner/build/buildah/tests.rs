//! What buildah is told.

use super::super::tests::{arguments, commit, full, places, task};
use super::*;
use crate::pipeline::api::{Builder, Isolation};

#[test]
fn every_value_is_an_argument_of_its_own() {
    let task = BuildTask {
        builder: Builder::Buildah,
        isolation: Isolation::Chroot,
        ..full()
    };
    insta::assert_snapshot!(arguments(&bud(&task, &places(), &commit())), @r#"
    --storage-driver
    vfs
    --root
    /var/lib/containers/root
    --runroot
    /var/lib/containers/run
    build
    --tls-verify=false
    --isolation
    chroot
    --format
    oci
    --identity-label=false
    --tag
    localhost/slipway/built
    --file
    /w/source/services/api/Dockerfile
    --timestamp
    1800000000
    --target
    runtime
    --platform
    linux/arm64
    --build-arg
    TITLE=$(touch /tmp/evil) `id`
    --label
    org.opencontainers.image.created=2027-01-15T08:00:00Z
    --label
    team=a=b, "c"
    --secret
    id=npm,src=/slipway-secrets/npm
    --layers
    --cache-from
    registry.example:5000/shop/cache
    --cache-to
    registry.example:5000/shop/cache
    /w/source/services/api
    "#);
}

#[test]
fn an_image_is_pushed_under_a_tag_that_is_no_release() {
    let pushed = push(
        &task(),
        "registry.example:5000/shop/api",
        Path::new("/w/digest"),
        &commit(),
    );
    insta::assert_snapshot!(arguments(&pushed), @r#"
    --storage-driver
    vfs
    --root
    /var/lib/containers/root
    --runroot
    /var/lib/containers/run
    push
    --tls-verify=false
    --digestfile
    /w/digest
    localhost/slipway/built
    docker://registry.example:5000/shop/api:build-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    "#);
}
