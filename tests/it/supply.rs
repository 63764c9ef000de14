//! What is signed, and where it is kept: real registries, with and without the referrers API.
//!
//! No cluster is needed for it, but for accounts that sign.

mod keyless;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use slipway::cluster::fetch::{Http, egress::Egress};
use slipway::model::action::Request;
use slipway::model::signed::SignedQuestion;
use slipway::oci::client::Registry;
use slipway::oci::manifest::{
    Artifact, ArtifactManifest, Descriptor, INDEX, Index, MANIFEST, referrers_tag,
};
use slipway::oci::repository::Repository;
use slipway::pipeline::api::PackageType;
use slipway::pipeline_run::api::{AttestationKind, FailureKind};
use slipway::runner::process::Stop;
use slipway::runner::task::{
    FetchTask, KmsTask, Moving, PackageItem, PackagesTask, SbomTask, SignTask, Signed, SignsWith,
    Subject, TagTask, Versioned,
};
use slipway::runner::{Folders, fetch, package, sbom, sign, tag};
use slipway::supply::bom;
use slipway::supply::finding::Finding;
use slipway::supply::key::{PublicKey, SigningKey};
use slipway::supply::simple;
use tempfile::TempDir;
use testbed::vault::Vault;
use tokio::process::{Child, Command};

/// A registry on a port of its own, gone with the value.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) folder: TempDir,
    _child: Child,
}

impl Server {
    /// Debian's, which has no referrers API, and deletes nothing.
    pub(crate) async fn debian() -> Self {
        Self::debian_with("").await
    }

    /// The same, which deletes what it is told to.
    pub(crate) async fn debian_that_deletes() -> Self {
        Self::debian_with("delete: {enabled: true}, ").await
    }

    async fn debian_with(storage: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let address = free_address();
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{{storage}filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(file);
        Self::start(command, address, folder).await
    }

    /// One that has it: `oci-registry` or `cue-registry`, of different makers.
    pub(crate) async fn with_referrers(program: &str) -> Self {
        testbed::programs::ensure(&[program]).await.unwrap();
        let program = testbed::programs::path_of(program).unwrap();
        let address = free_address();
        let mut command = Command::new(program);
        command.arg(&address);
        Self::start(command, address, TempDir::new().unwrap()).await
    }

    async fn start(mut command: Command, address: String, folder: TempDir) -> Self {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.kill_on_drop(true).spawn().unwrap();
        let url = format!("http://{address}/v2/");
        testbed::wait::until("the registry answers", Duration::from_secs(20), || async {
            let answer = reqwest::get(&url).await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await
        .unwrap();
        Self {
            address,
            folder,
            _child: child,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}/shop/api", self.address)
    }

    pub(crate) fn registry(&self) -> Registry {
        let repository = Repository::parse(&self.name(), true).unwrap();
        Registry::new(reqwest::Client::new(), repository, None)
    }

    /// Something that looks like an image.
    async fn push_image(&self) -> Descriptor {
        self.push_as("main", "somebody").await
    }

    /// The same under a tag; of another author it is another image.
    pub(crate) async fn push_as(&self, tag: &str, author: &str) -> Descriptor {
        self.push(Some(tag), author).await
    }

    /// The same by its digest, as builds push.
    pub(crate) async fn push_untagged(&self, author: &str) -> Descriptor {
        self.push(None, author).await
    }

    async fn push(&self, tag: Option<&str>, author: &str) -> Descriptor {
        let registry = self.registry();
        let config = json!({
            "architecture": "amd64", "os": "linux", "author": author, "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = config.to_string();
        let type_ = "application/vnd.oci.image.config.v1+json";
        let config = registry.put_blob(type_, config.as_bytes()).await.unwrap();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
        let manifest = manifest.to_string().into_bytes();
        let image = Descriptor::of(MANIFEST, &manifest);
        let reference = tag.unwrap_or(&image.digest);
        let put = registry.put_manifest(reference, MANIFEST, &manifest);
        put.await.unwrap();
        image
    }

    /// A new key, as a file where a Sign stage finds it, and its public key.
    fn key(&self) -> (SignsWith, String) {
        let folder = self.key_folder();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("key");
        make_key(&file);
        let public = read_key(&file).public().pem();
        (SignsWith::Key(folder.display().to_string()), public)
    }

    fn key_folder(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Where a stage that signs has its files.
    fn folders(&self) -> Folders {
        let workspace = self.folder.path().join("signing");
        std::fs::create_dir_all(&workspace).unwrap();
        Folders { workspace }
    }

    /// A key service that a stage reaches over these scripts, which stand in for cosign: its verbs are their names.
    fn service(&self, public_key: &str, sign_blob: &str) -> SignsWith {
        let folder = self.folders().workspace;
        for (verb, script) in [("public-key", public_key), ("sign-blob", sign_blob)] {
            std::fs::write(folder.join(verb), script).unwrap();
        }
        SignsWith::Kms(KmsTask {
            uri: "hashivault://cosign".into(),
            program: "/bin/sh".into(),
            secrets: Vec::new(),
        })
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn make_key(file: &Path) {
    let args = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
    ];
    let made = std::process::Command::new("openssl")
        .args(args)
        .arg(file)
        .status();
    assert!(made.unwrap().success());
}

fn task(server: &Server, image: &Descriptor, with: &SignsWith) -> SignTask {
    let signed = Signed {
        subject: Subject {
            image: "api".into(),
            repository: server.name(),
            digest: image.digest.clone(),
            insecure: true,
            login: None,
        },
        mirrors: Vec::new(),
        provenance: Some(json!({"buildDefinition": {"buildType": "https://slipway.dev/build/v1"}})),
        sbom: None,
    };
    SignTask {
        images: vec![signed],
        with: with.clone(),
        signature_tag: false,
        timeout_seconds: 60,
    }
}

/// What an operator finds that trusts these keys.
async fn found(server: &Server, image: &Descriptor, keys: &[&str]) -> Result<Vec<Finding>, String> {
    let question = SignedQuestion {
        repository: server.name(),
        digest: image.digest.clone(),
        is_insecure: true,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..SignedQuestion::default()
    };
    let http = Http::new(Egress::everywhere());
    Finding::read(&http.signed(&question, None).await)
}

/// Signs an image with a key in a file.
async fn signs_and_is_found(server: &Server) {
    let (with, public) = server.key();
    signs_with(server, &with, &public).await;
}

/// Signs an image; what was said of it is what an operator finds that trusts this key, and no other.
async fn signs_with(server: &Server, with: &SignsWith, public: &str) -> (Descriptor, String) {
    let image = server.push_image().await;
    let mut task = task(server, &image, with);
    task.signature_tag = matches!(with, SignsWith::Kms(_));
    let (report, code) = sign::run(&task, &server.folders()).await;
    assert_eq!((code, report.failure), (0, None), "{report:?}");
    let kinds: Vec<_> = report.attestations.iter().map(|said| said.1).collect();
    assert_eq!(
        kinds,
        [AttestationKind::Signature, AttestationKind::Provenance]
    );
    let found_by =
        |found: Vec<Finding>| -> Vec<_> { found.into_iter().map(|found| found.artifact).collect() };
    let mut artifacts = found_by(found(server, &image, &[public]).await.unwrap());
    let mut reported: Vec<_> = report
        .attestations
        .iter()
        .map(|said| said.2.clone())
        .collect();
    artifacts.sort();
    reported.sort();
    assert_eq!(artifacts, reported);
    let stranger = server.folder.path().join("stranger");
    make_key(&stranger);
    let stranger = read_key(&stranger).public().pem();
    assert_eq!(found(server, &image, &[&stranger]).await, Ok(Vec::new()));
    (image, report.message.unwrap_or_default())
}

/// openssl signs in the place of cosign and the key service behind it: what is stored is what a key in a file gives.
#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn what_a_key_service_signs_is_found_as_what_a_key_in_a_file_signs() {
    let server = Server::debian().await;
    let (_, public) = server.key();
    let key = server.key_folder().join("key").display().to_string();
    let shows = format!("openssl ec -in {key} -pubout -out $4");
    let signs = format!(
        r#"openssl dgst -sha256 -sign {key} -out signature $8
        printf '{{"messageSignature": {{"signature": "%s"}}}}' "$(openssl base64 -A -in signature)" > $7"#
    );
    let with = server.service(&shows, &signs);
    let (image, message) = signs_with(&server, &with, &public).await;
    assert!(message.contains("of hashivault://cosign"), "{message}");
    let registry = server.registry();
    let manifest = registry.manifest(&simple::tag(&image.digest)).await;
    let manifest = manifest.unwrap().unwrap();
    let manifest: ArtifactManifest = serde_json::from_slice(&manifest.bytes).unwrap();
    let text = simple::text(&server.name(), &image.digest);
    let public = PublicKey::read(&public).unwrap();
    assert!(simple::is_signed(&manifest.layers, &text, &public));

    // A service that shows one key and signs with another leaves nothing that anybody could find.
    let other = server.folder.path().join("other");
    make_key(&other);
    let shows = format!("openssl ec -in {} -pubout -out $4", other.display());
    let with = server.service(&shows, &signs);
    let image = server.push_as("main", "somebody else").await;
    let task = task(&server, &image, &with);
    let (report, code) = sign::run(&task, &server.folders()).await;
    assert_eq!((report.failure, code), (Some(FailureKind::Infra), 1));
    let referrers = registry.referrers(&image.digest).await.unwrap();
    assert!(referrers.is_empty(), "{referrers:?}");
}

/// The real program, and a key that never leaves its service. Builds both: minutes, once. Only in the long tests.
#[tokio::test]
#[ignore = "builds cosign and vault; run make e2e-full"]
async fn cosign_signs_with_a_key_that_stays_in_a_key_service() {
    testbed::programs::ensure(&["cosign"]).await.unwrap();
    let cosign = testbed::programs::path_of("cosign").unwrap();
    let vault = Vault::start().await.unwrap();
    let (public, token) = vault.make_key("cosign").await.unwrap();
    let server = Server::debian().await;
    let call = |verb: &str| {
        format!(
            "exec env VAULT_ADDR={} VAULT_TOKEN={token} {} {verb} \"$@\"",
            vault.url(),
            cosign.display()
        )
    };
    let with = server.service(&call("public-key"), &call("sign-blob"));
    let (image, message) = signs_with(&server, &with, &public).await;
    eprintln!("{message}");
    let image = format!("{}@{}", server.name(), image.digest);
    cosign_agrees(&image, &[public], server.folder.path()).await;

    // What the token does not allow is said.
    let with = server.service(&call("public-key").replace(&token, "nobody"), "exit 1");
    let image = server.push_image().await;
    let (report, code) = sign::run(&task(&server, &image, &with), &server.folders()).await;
    assert_eq!((report.failure, code), (Some(FailureKind::Infra), 1));
    let said = report.message.unwrap();
    assert!(
        said.contains("public-key with hashivault://cosign"),
        "{said}"
    );
    assert!(said.contains("permission denied"), "{said}");
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn a_registry_without_the_referrers_api_lists_signatures_under_a_tag() {
    let server = Server::debian().await;
    signs_and_is_found(&server).await;
    let image = server.push_image().await;
    let registry = server.registry();
    let list = registry
        .manifest(&referrers_tag(&image.digest))
        .await
        .unwrap()
        .unwrap();
    let list: Value = serde_json::from_slice(&list.bytes).unwrap();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2);
    // Two who add at the same time are both in the list.
    let note = |text: &str| Artifact {
        artifact_type: "text/plain".into(),
        media_type: "text/plain".into(),
        content: text.into(),
        annotations: std::collections::BTreeMap::new(),
        subject: Some(image.clone()),
    };
    let (one, two) = (note("one"), note("two"));
    let (one, two) = tokio::join!(registry.put_artifact(&one), registry.put_artifact(&two));
    let referrers = registry.referrers(&image.digest).await.unwrap();
    for descriptor in [one.unwrap(), two.unwrap()] {
        assert!(
            referrers
                .iter()
                .any(|known| known.digest == descriptor.digest)
        );
        let manifest = registry
            .manifest(&descriptor.digest)
            .await
            .unwrap()
            .unwrap();
        let manifest: ArtifactManifest = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(manifest.subject.unwrap().digest, image.digest);
    }
}

#[tokio::test]
#[ignore = "needs a registry of the testbed; run make test"]
async fn a_registry_with_the_referrers_api_needs_no_tag() {
    for program in ["oci-registry", "cue-registry"] {
        let server = Server::with_referrers(program).await;
        signs_and_is_found(&server).await;
        let image = server.push_image().await;
        let registry = server.registry();
        let tag = referrers_tag(&image.digest);
        assert_eq!(registry.manifest(&tag).await.unwrap(), None, "{program}");
        let referrers = registry.referrers(&image.digest).await.unwrap();
        assert_eq!(referrers.len(), 2, "{program}");
    }
}

/// An image for a platform, with one package of Alpine's in it.
async fn push_alpine(server: &Server, architecture: &str, package: &str) -> Descriptor {
    let registry = server.registry();
    let installed = format!("P:{package}\nV:1.0-r0\nA:{architecture}\nL:MIT\n\n");
    let release = "ID=alpine\nVERSION_ID=3.20\n".to_owned();
    let mut layer = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("etc/os-release", release),
        ("lib/apk/db/installed", installed),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        layer
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let type_ = "application/vnd.oci.image.layer.v1.tar";
    let layer = registry.put_blob(type_, &layer).await.unwrap();
    let rootfs = json!({"type": "layers", "diff_ids": [layer.digest]});
    let config = json!({"architecture": architecture, "os": "linux", "rootfs": rootfs}).to_string();
    let type_ = "application/vnd.oci.image.config.v1+json";
    let config = registry.put_blob(type_, config.as_bytes()).await.unwrap();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let manifest = manifest.to_string().into_bytes();
    let image = Descriptor {
        platform: Some(json!({"os": "linux", "architecture": architecture})),
        ..Descriptor::of(MANIFEST, &manifest)
    };
    let put = registry.put_manifest(&image.digest, MANIFEST, &manifest);
    put.await.unwrap();
    image
}

/// The lists that refer to an image, not signed.
async fn lists_of(registry: &Registry, digest: &str) -> Vec<(String, Value)> {
    let mut lists = Vec::new();
    for one in registry.referrers(digest).await.unwrap() {
        let manifest = registry.manifest(&one.digest).await.unwrap().unwrap();
        let manifest: ArtifactManifest = serde_json::from_slice(&manifest.bytes).unwrap();
        if manifest.artifact_type.as_deref() == Some("application/vnd.cyclonedx+json") {
            let content = registry.blob(&manifest.layers[0].digest, 1 << 20).await;
            lists.push((
                one.digest,
                serde_json::from_slice(&content.unwrap()).unwrap(),
            ));
        }
    }
    lists
}

/// What is in each is listed by the real syft, which takes one of them where it is not told which.
#[tokio::test]
#[ignore = "needs docker-registry and syft; run make test"]
async fn an_image_for_several_platforms_has_a_list_of_each_and_all_of_them_are_signed() {
    testbed::programs::ensure(&["syft"]).await.unwrap();
    let syft = testbed::programs::path_of("syft").unwrap();
    let server = Server::debian().await;
    let registry = server.registry();
    let one = push_alpine(&server, "amd64", "only-amd64").await;
    let other = push_alpine(&server, "arm64", "only-arm64").await;
    let mut index = Index::default();
    for image in [&one, &other] {
        index.add(image.clone());
    }
    let index = serde_json::to_vec(&index).unwrap();
    let whole = Descriptor::of(INDEX, &index);
    let put = registry.put_manifest(&whole.digest, INDEX, &index);
    put.await.unwrap();

    let (with, public) = server.key();
    let mut task = task(&server, &whole, &with);
    let lists = SbomTask {
        images: vec![task.images[0].subject.clone()],
        program: Some(syft.display().to_string()),
        timeout_seconds: 60,
    };
    let mut stop = Stop::listen().unwrap();
    let (report, code) = sbom::run(&lists, &server.folders(), &mut stop).await;
    assert_eq!(code, 0, "{report:?}");
    let message = report.message.unwrap();
    assert!(message.contains("in api for linux/arm64"), "{message}");
    let mut parts = Vec::new();
    for (image, package) in [(&one, "only-amd64"), (&other, "only-arm64")] {
        let found = lists_of(&registry, &image.digest).await;
        let [(digest, list)] = found.as_slice() else {
            panic!("one list for each: {found:?}");
        };
        let components = list["components"].as_array().unwrap();
        let of_packages = components.iter().filter(|one| one["type"] == "library");
        let names: Vec<&Value> = of_packages.map(|one| &one["name"]).collect();
        assert_eq!(names, [package]);
        parts.push((image.digest.clone(), digest.clone()));
    }
    let found = lists_of(&registry, &whole.digest).await;
    let [(digest, list)] = found.as_slice() else {
        panic!("one list of the whole: {found:?}");
    };
    assert_eq!(*digest, report.attestations[0].2);
    let named = bom::parts(list).into_iter();
    let named: Vec<_> = named.map(|part| (part.image, part.list)).collect();
    assert_eq!(named, parts);

    task.images[0].sbom = Some(digest.clone());
    let (report, code) = sign::run(&task, &server.folders()).await;
    assert_eq!(code, 0, "{report:?}");
    for image in [&whole, &one, &other] {
        let found = kinds_by(&server, image, &public).await;
        assert!(found.contains(&AttestationKind::SBOM), "{found:?}");
        let is_whole = image.digest == whole.digest;
        assert_eq!(found.contains(&AttestationKind::Signature), is_whole);
    }
}

/// What the owner of a key has said of an image.
async fn kinds_by(server: &Server, image: &Descriptor, key: &str) -> Vec<AttestationKind> {
    let found = found(server, image, &[key]).await.unwrap();
    found.iter().map(|found| found.kind).collect()
}

/// Mirrors are other registries, and who reads them knows nothing of the first one.
#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn mirrors_are_signed_too_and_old_readers_find_a_tag() {
    let (first, second) = (Server::debian().await, Server::debian().await);
    let (image, there) = (first.push_image().await, second.push_image().await);
    assert_eq!(image.digest, there.digest);
    let (with, public) = first.key();
    let mut task = task(&first, &image, &with);
    let mirror = Subject {
        repository: second.name(),
        ..task.images[0].subject.clone()
    };
    task.images[0].mirrors = vec![mirror];
    task.signature_tag = true;
    let (report, code) = sign::run(&task, &first.folders()).await;
    assert_eq!((code, report.failure), (0, None), "{report:?}");
    assert!(report.message.unwrap().contains("1 image and a mirror"));
    assert_eq!(report.attestations.len(), 2);
    let tag = simple::tag(&image.digest);
    for server in [&first, &second] {
        assert_eq!(found(server, &image, &[&public]).await.unwrap().len(), 2);
        assert!(server.registry().manifest(&tag).await.unwrap().is_some());
    }
    // A second run, with another key, leaves the first signature where it is.
    make_key(&first.key_folder().join("key"));
    let (report, code) = sign::run(&task, &first.folders()).await;
    assert_eq!((code, report.failure), (0, None), "{report:?}");
    let manifest = second.registry().manifest(&tag).await.unwrap().unwrap();
    let manifest: ArtifactManifest = serde_json::from_slice(&manifest.bytes).unwrap();
    let keys = [
        public,
        read_key(&first.key_folder().join("key")).public().pem(),
    ];
    for key in &keys {
        let text = simple::text(&second.name(), &image.digest);
        let key = PublicKey::read(key).unwrap();
        assert!(simple::is_signed(&manifest.layers, &text, &key));
    }
    if std::env::var_os("SLIPWAY_TEST_FULL").is_some() {
        let image = format!("{}@{}", second.name(), image.digest);
        cosign_agrees(&image, &keys, second.folder.path()).await;
    }
}

/// The program that everybody else checks with finds a signature under its tag, by either key and by no third one.
async fn cosign_agrees(image: &str, keys: &[String], folder: &Path) {
    testbed::programs::ensure(&["cosign"]).await.unwrap();
    let cosign = testbed::programs::path_of("cosign").unwrap();
    let third = folder.join("third");
    make_key(&third);
    let third = read_key(&third).public().pem();
    for (key, is_good) in keys.iter().map(|key| (key, true)).chain([(&third, false)]) {
        let file = folder.join("asked.pub");
        std::fs::write(&file, key).unwrap();
        let mut command = std::process::Command::new(&cosign);
        command
            .args(["verify", "--new-bundle-format=false", "--key"])
            .arg(&file);
        command.args(["--insecure-ignore-tlog", "--allow-http-registry", image]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.success(), is_good, "{said}");
        eprintln!("cosign: {}", said.lines().next().unwrap_or_default());
    }
}

fn read_key(file: &Path) -> SigningKey {
    SigningKey::read(&std::fs::read_to_string(file).unwrap(), b"").unwrap()
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn what_cannot_be_signed_says_why() {
    let server = Server::debian().await;
    let image = server.push_image().await;
    let (with, _) = server.key();
    let mut gone = task(&server, &image, &with);
    gone.images[0].subject.digest = Descriptor::of(MANIFEST, b"never pushed").digest;
    let (report, code) = sign::run(&gone, &server.folders()).await;
    assert_eq!((report.failure, code), (Some(FailureKind::Registry), 1));
    assert!(report.message.unwrap().contains("what was built is gone"));
    std::fs::write(server.key_folder().join("key"), "hunter2").unwrap();
    let (report, code) = sign::run(&task(&server, &image, &with), &server.folders()).await;
    assert_eq!((report.failure, code), (Some(FailureKind::Config), 1));
    let said = report.message.unwrap();
    assert!(
        said.contains("not in PEM") && !said.contains("hunter2"),
        "{said}"
    );
    let missing = found(&server, &Descriptor::of(MANIFEST, b"never pushed"), &[]).await;
    assert_eq!(missing, Ok(Vec::new()));
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn a_question_goes_only_where_the_operator_may_go() {
    let server = Server::debian().await;
    let question = SignedQuestion {
        repository: server.name(),
        digest: Descriptor::of(MANIFEST, b"image").digest,
        is_insecure: true,
        ..SignedQuestion::default()
    };
    let http = Http::new(Egress::default());
    let error = http.signed(&question, None).await.unwrap_err();
    assert!(error.contains("127.0.0.1"), "{error}");
    assert!(
        Request::for_signed(question, Duration::from_secs(1))
            .url
            .starts_with("http://127.0.0.1")
    );
}

/// What a container is asked to push, from a checkout of its own.
fn a_package(server: &Server) -> (PackagesTask, Folders) {
    let folders = Folders {
        workspace: server.folder.path().join("workspace"),
    };
    let dist = folders.checkout().join("dist");
    std::fs::create_dir_all(&dist).unwrap();
    std::fs::write(folders.workspace.join("script.sh"), "true").unwrap();
    std::fs::write(dist.join("parcels-1.2.0-py3-none-any.whl"), "wheel").unwrap();
    std::fs::write(dist.join("parcels-1.2.0.tar.gz"), "sources").unwrap();
    let task = PackagesTask {
        packages: vec![PackageItem {
            subject: Subject {
                image: "parcels".into(),
                repository: format!("{}/shop/parcels", server.address),
                digest: String::new(),
                insecure: true,
                login: None,
            },
            type_: PackageType::Wheel,
            files: vec!["dist/*".into()],
        }],
        annotations: [("org.opencontainers.image.revision".into(), "abc".into())].into(),
        timeout_seconds: 60,
    };
    (task, folders)
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn a_package_has_the_same_digest_whenever_it_is_pushed() {
    let server = Server::debian().await;
    let (task, folders) = a_package(&server);
    let first = package::push_all(&task, &folders).await.unwrap();
    let made = &first.packages[0];
    assert_eq!(
        (made.0.as_str(), made.2, made.3.as_deref()),
        ("parcels", 12, Some("1.2.0")),
        "{first:?}"
    );
    let again = package::push_all(&task, &folders).await.unwrap();
    assert_eq!(again.packages, first.packages);

    let repository = Repository::parse(&format!("{}/shop/parcels", server.address), true).unwrap();
    let registry = Registry::new(reqwest::Client::new(), repository, None);
    let manifest = registry.manifest(&made.1).await.unwrap().unwrap();
    let read: ArtifactManifest = serde_json::from_slice(&manifest.bytes).unwrap();
    let title = "org.opencontainers.image.title";
    let names: Vec<&String> = read
        .layers
        .iter()
        .map(|layer| &layer.annotations[title])
        .collect();
    assert_eq!(
        names,
        ["parcels-1.2.0-py3-none-any.whl", "parcels-1.2.0.tar.gz"]
    );
    assert_eq!(
        registry.blob(&read.layers[0].digest, 100).await.unwrap(),
        b"wheel"
    );
    assert_eq!(registry.tags().await.unwrap(), [""; 0], "by digest only");

    // A stage that hands it out finds the same files.
    let place = server.folder.path().join("fetched");
    let task_of = |digest: &str| FetchTask {
        packages: vec![Subject {
            digest: digest.to_owned(),
            ..task.packages[0].subject.clone()
        }],
        folder: String::new(),
        timeout_seconds: 60,
    };
    fetch::fetch_all(&task_of(&made.1), &place).await.unwrap();
    let file = place.join("parcels/parcels-1.2.0-py3-none-any.whl");
    assert_eq!(std::fs::read(file).unwrap(), b"wheel");
    let gone = format!("sha256:{}", "0".repeat(64));
    let gone = fetch::fetch_all(&task_of(&gone), &place).await.unwrap_err();
    assert_eq!(gone.kind, FailureKind::Registry);

    std::fs::write(folders.checkout().join("dist/notes.txt"), "more").unwrap();
    let refused = package::push_all(&task, &folders).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Config);
    assert!(refused.message.contains("notes.txt is none of type Wheel"));
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn tags_of_versions_never_move_back() {
    let server = Server::debian().await;
    let registry = server.registry();
    assert_eq!(
        registry.tags().await.unwrap(),
        [""; 0],
        "of what is not there"
    );
    let image = server.push_image().await;
    let release = async |version: &str, minor: &str| {
        let moving = |name: &str, depth| Moving {
            name: name.into(),
            before: String::new(),
            after: String::new(),
            depth,
        };
        let task = TagTask {
            images: vec![Subject {
                image: "api".into(),
                repository: server.name(),
                digest: image.digest.clone(),
                insecure: true,
                login: None,
            }],
            names: vec![version.into()],
            versioned: Some(Versioned {
                version: version.into(),
                names: vec![moving(minor, 2), moving("latest", 0)],
            }),
            timeout_seconds: 60,
        };
        let (report, code) = tag::run(&task).await;
        assert_eq!(code, 0, "{report:?}");
        report.message.unwrap()
    };
    assert_eq!(
        release("1.3.0", "1.3").await,
        "the images have the tags 1.3.0, 1.3, latest"
    );
    assert_eq!(
        release("1.2.4", "1.2").await,
        "the images have the tags 1.2.4, 1.2"
    );
    let mut tags = registry.tags().await.unwrap();
    tags.sort();
    assert_eq!(tags, ["1.2", "1.2.4", "1.3", "1.3.0", "latest", "main"]);
}
