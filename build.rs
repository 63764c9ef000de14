//! Builds anew what embeds the page when the page was built anew. Only programs for release do: the others read it from the disk.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    // A path that is not there would be a reason to build anew each time.
    let known = ["ui/dist", "ui"].into_iter();
    let known = known.filter(|path| is_release && Path::new(path).is_dir());
    for path in known.take(1) {
        println!("cargo::rerun-if-changed={path}");
    }
}
