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
    insta::assert_snapshot!(arguments(&bud(&task, &places(), &commit())), @"");
}

#[test]
fn an_image_is_pushed_under_a_tag_that_is_no_release() {
    let pushed = push(
        &task(),
        "registry.example:5000/shop/api",
        Path::new("/w/digest"),
        &commit(),
    );
    insta::assert_snapshot!(arguments(&pushed), @"");
}
