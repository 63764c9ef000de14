//! Builds anew what embeds the page when the page was built anew. Only programs for release do: the others read it from the disk.
//! Packs the relocations of the operator that is released, and has functions that are the same be there once.

use std::env::var_os;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| var_os(name).is_some_and(|it| it == value);
    let is_release = is("PROFILE", "release");
    // A tenth of the size: all of them are read at the start, and would stay in memory.
    if is_release && is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bin=slipway=-Wl,-z,pack-relative-relocs");
        // What is generic is there many times over: for types that differ in nothing that matters to the machine.
        if has_lld() {
            println!("cargo::rustc-link-arg-bin=slipway=-Wl,--icf=all");
        }
    }
    // A path that is not there would be a reason to build anew each time.
    let known = ["ui/dist", "ui"].into_iter();
    let known = known.filter(|path| is_release && Path::new(path).is_dir());
    for path in known.take(1) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// Whether the compiler brings the linker that it links with, as that of rustup does. Others need not know the flag.
fn has_lld() -> bool {
    let sysroot = var_os("RUSTC").and_then(|rustc| {
        let asked = Command::new(rustc).args(["--print", "sysroot"]).output();
        String::from_utf8(asked.ok()?.stdout).ok()
    });
    let target = "lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld";
    sysroot.is_some_and(|sysroot| PathBuf::from(sysroot.trim()).join(target).is_file())
}
