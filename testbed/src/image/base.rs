//! The images that tests and the demo are made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::programs::{self, short_hex};
use crate::settings::{Settings, program};

/// One of the images below, by the name that the command line uses.
pub async fn named(registry: &str, name: &str) -> Result<String> {
    match name {
        "busybox" => busybox(registry).await,
        "debian" => debian(registry).await,
        "gitea" => gitea(registry).await,
        "buildkit" => buildkit(registry).await,
        "buildah" => buildah(registry).await,
        "syft" => syft(registry).await,
        "cosign" => cosign(registry).await,
        "scanner" => scanner(registry).await,
        "gitleaks" | "k6" => tool(registry, name).await,
        _ => bail!(
            "the testbed has the images busybox, debian, gitea, buildkit, buildah, syft, cosign, scanner, gitleaks and k6, not {name}"
        ),
    }
}

/// A static busybox with `sh` and its tools in the usual places.
pub async fn busybox(registry: &str) -> Result<String> {
    let files = [("busybox", program("busybox")?)];
    of_files(
        registry,
        "testbed/busybox",
        include_str!("busybox.Dockerfile"),
        &files,
    )
    .await
}

/// What holds a pod's namespaces: a process that sleeps.
pub(crate) async fn sandbox(registry: &str) -> Result<String> {
    let files = [("busybox", program("busybox")?)];
    of_files(
        registry,
        "testbed/pause",
        include_str!("pause.Dockerfile"),
        &files,
    )
    .await
}

/// BuildKit: `buildkitd`, `buildctl` and what they call, for privileged pods and for those of user 1000.
pub async fn buildkit(registry: &str) -> Result<String> {
    programs::ensure(&["buildkitd", "buildctl", "rootlesskit"]).await?;
    let (runc, newuidmap, setcap) = (program("runc")?, program("newuidmap")?, program("setcap")?);
    let mut libraries = [
        libraries(&runc).await?,
        libraries(&newuidmap).await?,
        libraries(&setcap).await?,
    ]
    .concat();
    libraries.sort();
    libraries.dedup();
    let mut files = vec![
        ("busybox", program("busybox")?),
        ("buildkitd", programs::path_of("buildkitd")?),
        ("buildctl", programs::path_of("buildctl")?),
        ("rootlesskit", programs::path_of("rootlesskit")?),
        ("runc", runc),
        ("newuidmap", newuidmap),
        ("newgidmap", program("newgidmap")?),
        ("setcap", setcap),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    files.extend(listed(&libraries));
    of_files(
        registry,
        "testbed/buildkit",
        include_str!("buildkit.Dockerfile"),
        &files,
    )
    .await
}

/// Libraries, as an image is given files.
fn listed(libraries: &[(String, PathBuf)]) -> impl Iterator<Item = (&str, PathBuf)> {
    libraries
        .iter()
        .map(|(place, file)| (place.as_str(), file.clone()))
}

/// Buildah, and what it calls. For pods without rights.
pub async fn buildah(registry: &str) -> Result<String> {
    let buildah = program("buildah")?;
    let libraries = libraries(&buildah).await?;
    let mut files = vec![
        ("busybox", program("busybox")?),
        ("buildah", buildah),
        ("newuidmap", program("newuidmap")?),
        ("newgidmap", program("newgidmap")?),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    files.extend(listed(&libraries));
    of_files(
        registry,
        "testbed/buildah",
        include_str!("buildah.Dockerfile"),
        &files,
    )
    .await
}

/// syft, which lists what is in images.
pub async fn syft(registry: &str) -> Result<String> {
    programs::ensure(&["syft"]).await?;
    let files = [
        ("busybox", program("busybox")?),
        ("syft", programs::path_of("syft")?),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    of_files(
        registry,
        "testbed/syft",
        include_str!("syft.Dockerfile"),
        &files,
    )
    .await
}

/// cosign, which signs with keys in key services.
pub async fn cosign(registry: &str) -> Result<String> {
    programs::ensure(&["cosign"]).await?;
    let files = [
        ("cosign", programs::path_of("cosign")?),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    of_files(
        registry,
        "testbed/cosign",
        include_str!("cosign.Dockerfile"),
        &files,
    )
    .await
}

/// gitleaks or k6, each a program that needs nothing, with a shell for scripts.
pub async fn tool(registry: &str, name: &str) -> Result<String> {
    programs::ensure(&[name]).await?;
    let files = [
        ("busybox", program("busybox")?),
        (name, programs::path_of(name)?),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    let dockerfile = format!(
        "{}COPY {name} /bin/{name}\n",
        include_str!("tool.Dockerfile")
    );
    of_files(registry, &format!("testbed/{name}"), &dockerfile, &files).await
}

/// osv-scanner with a small database of ours, since the real ones cannot be had here, and syft for what is in images.
pub async fn scanner(registry: &str) -> Result<String> {
    const DOCKERFILE: &str = include_str!("scanner.Dockerfile");
    programs::ensure(&["syft", "osv-scanner"]).await?;
    let database = crate::repository_root().join("testbed/src/image/osv");
    let files = [
        ("busybox", program("busybox")?),
        ("syft", programs::path_of("syft")?),
        ("osv-scanner", programs::path_of("osv-scanner")?),
        ("ca-certificates.crt", PathBuf::from(CERTIFICATES)),
    ];
    let records = super::hash_of(&database)?;
    let mut parts = keys(&files)?;
    parts.extend([DOCKERFILE.into(), records.into()]);
    let tag = tag_of(&parts);
    super::ensure(registry, "testbed/scanner", &tag, &[], async |work| {
        put(work, &files)?;
        for ecosystem in ["PyPI", "Debian"] {
            let folder = work.join("osv").join(ecosystem);
            fs::create_dir_all(&folder)?;
            let archive = folder.join("all.zip").display().to_string();
            let records = database.join(ecosystem).display().to_string();
            let python = program("python3")?.display().to_string();
            crate::process::run(&python, &["-m", "zipfile", "-c", &archive, &records]).await?;
        }
        with_dockerfile(work, DOCKERFILE)
    })
    .await
}

/// Envoy, and the libraries it is linked against.
pub(crate) async fn envoy(registry: &str, binary: &Path) -> Result<String> {
    let libraries = libraries(binary).await?;
    let mut files = vec![("envoy", binary.to_owned())];
    files.extend(listed(&libraries));
    of_files(
        registry,
        "testbed/envoy",
        include_str!("envoy.Dockerfile"),
        &files,
    )
    .await
}

/// Envoy Gateway: what tells Envoys what to do, and what ends them gracefully.
pub(crate) async fn envoy_gateway(registry: &str) -> Result<String> {
    let files = [
        ("busybox", program("busybox")?),
        ("envoy-gateway", programs::path_of("envoy-gateway")?),
    ];
    of_files(
        registry,
        "testbed/envoy-gateway",
        include_str!("envoy-gateway.Dockerfile"),
        &files,
    )
    .await
}

/// The libraries that a program is linked against, and whom this machine trusts; nothing else.
pub(super) async fn glibc(registry: &str, of: &Path) -> Result<String> {
    let libraries = libraries(of).await?;
    let mut files = vec![("ca-certificates.crt", PathBuf::from(CERTIFICATES))];
    files.extend(listed(&libraries));
    of_files(
        registry,
        "testbed/glibc",
        include_str!("glibc.Dockerfile"),
        &files,
    )
    .await
}

/// The shared libraries of a program: where they belong in an image's context, and the files.
async fn libraries(of: &Path) -> Result<Vec<(String, PathBuf)>> {
    let listing = crate::process::run("ldd", &[&of.display().to_string()]).await?;
    let words = listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(words
        .map(|path| (format!("root{path}"), PathBuf::from(path)))
        .collect())
}

/// Debian with git, Python, pip and pytest, trusting whom this machine trusts.
pub async fn debian(registry: &str) -> Result<String> {
    debian_of(registry, "bookworm").await
}

/// The same of another release: `bullseye` has Python 3.9, `bookworm` 3.11, `trixie` 3.13.
pub async fn debian_of(registry: &str, release: &str) -> Result<String> {
    const DOCKERFILE: &str = include_str!("debian.Dockerfile");
    let certificates = fs::read(CERTIFICATES)?;
    // The packages are as new as the day they were fetched; their list is what makes another image.
    let tag = tag(&[
        DOCKERFILE.as_bytes(),
        [&DEBIAN.concat(), release].concat().as_bytes(),
        &certificates,
    ]);
    super::ensure(registry, "testbed/debian", &tag, &[], async |work| {
        let tar = work.join("rootfs.tar").display().to_string();
        let mmdebstrap = program("mmdebstrap")?.display().to_string();
        crate::process::run(&mmdebstrap, &[DEBIAN, &[release, &tar]].concat()).await?;
        fs::copy(CERTIFICATES, work.join("ca-certificates.crt"))?;
        with_dockerfile(work, DOCKERFILE)
    })
    .await
}

/// Gitea, with the templates and texts that it reads, on the Debian base, which has git.
pub async fn gitea(registry: &str) -> Result<String> {
    const DOCKERFILE: &str = include_str!("gitea.Dockerfile");
    programs::ensure(&["gitea"]).await?;
    let debian = debian(registry).await?;
    let dockerfile = format!("FROM {debian}\n{DOCKERFILE}");
    let binary = programs::path_of("gitea")?;
    let tag = tag_of(&[dockerfile.clone().into(), key(&binary)?]);
    super::ensure(registry, "testbed/gitea", &tag, &[], async |work| {
        fs::copy(&binary, work.join("gitea"))?;
        let (from, to) = (programs::gitea_files().await?, work.join("files"));
        fs::create_dir_all(&to)?;
        let folders = ["options", "public", "templates"].map(|name| from.join(name));
        let folders = folders.map(|folder| folder.display().to_string());
        let [options, public, templates] = &folders;
        let to = to.display().to_string();
        // Nobody may write in the module's folder, and this copy is to be removed again.
        let copy = ["-r", "--no-preserve=mode", options, public, templates, &to];
        crate::process::run("cp", &copy).await?;
        with_dockerfile(work, &dockerfile)
    })
    .await
}

/// Whom this machine trusts: pods reach the package registries the way it does.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How the Debian base is made.
const DEBIAN: &[&str] = &[
    "--variant=apt",
    "--include=ca-certificates,git,python3-venv,python3-pip,python3-pytest",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// An image of a Dockerfile and the files it copies.
async fn of_files(
    registry: &str,
    name: &str,
    dockerfile: &str,
    files: &[(&str, PathBuf)],
) -> Result<String> {
    let mut parts = vec![dockerfile.as_bytes().to_owned()];
    parts.extend(keys(files)?);
    super::ensure(registry, name, &tag_of(&parts), &[], async |work| {
        put(work, files)?;
        with_dockerfile(work, dockerfile)
    })
    .await
}

/// Copies files into the context of a build.
fn put(work: &Path, files: &[(&str, PathBuf)]) -> Result<()> {
    for (name, path) in files {
        let place = work.join(name);
        fs::create_dir_all(place.parent().unwrap_or(work))?;
        fs::copy(path, place)?;
    }
    Ok(())
}

/// What tells the files' contents.
fn keys(files: &[(&str, PathBuf)]) -> Result<Vec<Vec<u8>>> {
    files.iter().map(|(_, path)| key(path)).collect()
}

fn tag_of(parts: &[Vec<u8>]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    tag(&parts)
}

/// What tells a file's content: itself, or of the programs that we built (a hundred megabytes) the folder they are in.
fn key(file: &Path) -> Result<Vec<u8>> {
    let built = Settings::from_env().cache.join("programs");
    match file.strip_prefix(built) {
        Ok(place) => Ok(place.as_os_str().as_encoded_bytes().to_owned()),
        Err(_) => fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn with_dockerfile(context: &Path, dockerfile: &str) -> Result<PathBuf> {
    fs::write(context.join("Dockerfile"), dockerfile)?;
    Ok(context.to_owned())
}

pub(super) fn tag(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    short_hex(&hash.finalize())
}
