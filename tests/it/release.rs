//! What is packed for people, from programs that were built: equal bytes from equal programs, checksums, a signature, an SBOM.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use testbed::programs;

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// Packs programs that are none; the folder with what comes of it.
fn pack(folder: &Path, out: &str) -> std::path::PathBuf {
    let (dist, out) = (folder.join("dist"), folder.join(out));
    for arch in ["amd64", "arm64"] {
        let folder = dist.join(arch);
        std::fs::create_dir_all(&folder).unwrap();
        // A time of its own, each time.
        std::fs::write(folder.join("slipway"), arch).unwrap();
        std::fs::write(folder.join("kubectl-slipway"), arch).unwrap();
    }
    let mut packed = Command::new("./release.sh");
    packed
        .arg("pack")
        .args([&dist, &out])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SOURCE_DATE_EPOCH", "1800000000")
        .env("SIGNING_KEY", folder.join("key.pem"))
        .env("SYFT", programs::path_of("syft").unwrap());
    ran(&mut packed);
    out
}

fn sums(out: &Path) -> Vec<String> {
    let sums = std::fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let lines = sums.lines().filter(|line| !line.ends_with(".cdx.json"));
    lines.map(str::to_owned).collect()
}

/// What the manifest for krew names is there, with that digest, and has the program in it.
fn krew_finds_what_is_packed(out: &Path) {
    let manifest = std::fs::read_to_string(out.join("slipway.yaml")).unwrap();
    assert!(!manifest.contains('@'), "{manifest}");
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let archive = platform["uri"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap();
        let line = format!("{}  {archive}", platform["sha256"].as_str().unwrap());
        assert!(sums(out).contains(&line), "{line}");
        let program = platform["files"][0]["from"].as_str().unwrap();
        let list = ["-tzf", archive, program];
        ran(Command::new("tar").args(list).current_dir(out));
    }
}

#[tokio::test]
#[ignore = "needs helm and syft; run make test"]
async fn what_is_released_is_the_same_each_time_listed_and_signed() {
    programs::ensure(&["helm", "syft"]).await.unwrap();
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(folder);
        command
    };
    let key = [
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "key.pem",
    ];
    ran(openssl(&["ecparam"]).args(key));
    ran(&mut openssl(&[
        "ec",
        "-in",
        "key.pem",
        "-pubout",
        "-out",
        "public.pem",
    ]));

    let (out, again) = (pack(folder, "one"), pack(folder, "two"));
    assert_eq!(sums(&out), sums(&again));
    let version = env!("CARGO_PKG_VERSION");
    for name in [
        "install.yaml".to_owned(),
        format!("slipway-{version}.tgz"),
        format!("slipway-{version}-linux-amd64.tar.gz"),
        format!("slipway-{version}-linux-arm64.tar.gz"),
    ] {
        assert!(
            sums(&out).iter().any(|line| line.ends_with(&name)),
            "{name}"
        );
    }
    krew_finds_what_is_packed(&out);
    let check = ["-c", "--strict", "SHA256SUMS"];
    ran(Command::new("sha256sum").args(check).current_dir(&out));

    // Who has the public key can tell these checksums from others.
    let signature = std::fs::read_to_string(out.join("SHA256SUMS.sig")).unwrap();
    std::fs::write(folder.join("text"), signature).unwrap();
    ran(&mut openssl(&[
        "base64",
        "-d",
        "-A",
        "-in",
        "text",
        "-out",
        "signature",
    ]));
    let verify = |sums: &Path| {
        let args = [
            "dgst",
            "-sha256",
            "-verify",
            "public.pem",
            "-signature",
            "signature",
        ];
        openssl(&args).arg(sums).output().unwrap().status.success()
    };
    assert!(verify(&out.join("SHA256SUMS")));
    std::fs::write(folder.join("forged"), "another").unwrap();
    assert!(!verify(&folder.join("forged")));

    let helm = |chart: &Path| {
        let mut helm = Command::new(programs::path_of("helm").unwrap());
        helm.args(["template", "slipway"]).arg(chart);
        helm.current_dir(env!("CARGO_MANIFEST_DIR"));
        ran(&mut helm).stdout
    };
    let packed = helm(&out.join(format!("slipway-{version}.tgz")));
    assert!(packed == helm(Path::new("charts/slipway")));

    let listed = std::fs::read_to_string(out.join(format!("slipway-{version}.cdx.json"))).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&str> = listed["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|component| component["name"].as_str())
        .collect();
    for name in ["tokio", "rustls", "kube"] {
        assert!(names.contains(&name), "{name}");
    }
}
