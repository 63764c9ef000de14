//! What is signed without a key, in the name of an account, and who believes it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::json;
use slipway::cluster::fetch::{Http, egress::Egress};
use slipway::model::signed::{Certified, Identity, SignedQuestion, Subject as Names};
use slipway::oci::manifest::{Artifact, Descriptor, MANIFEST};
use slipway::pipeline_run::api::AttestationKind;
use slipway::runner::sign;
use slipway::runner::task::{IDENTITY_FILE, KeylessTask, ROOT_FILE, SignsWith};
use slipway::supply::envelope::BUNDLE;
use slipway::supply::finding::Found;
use testbed::ControlPlane;
use testbed::sigstore::{AUDIENCE, Sigstore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::{Server, task};
use crate::cluster::{Space, with_namespace};

/// The image that is signed in tests/data/sigstore.
const KEPT: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

impl Server {
    /// An account of the namespace that signs: its token, and whom to trust.
    async fn identity(
        &self,
        sigstore: &Sigstore,
        space: &Space,
        account: &str,
        audience: &str,
    ) -> SignsWith {
        let folder = self.folder.path().join(account);
        std::fs::create_dir_all(&folder).unwrap();
        let token = token_of(space, account, audience).await;
        std::fs::write(folder.join(IDENTITY_FILE), token).unwrap();
        std::fs::write(folder.join(ROOT_FILE), sigstore.trusted_root()).unwrap();
        let cosign = testbed::programs::path_of("cosign").unwrap();
        SignsWith::Keyless(KeylessTask {
            fulcio_url: sigstore.fulcio_url().to_owned(),
            rekor_url: sigstore.rekor_url().to_owned(),
            identity: folder.display().to_string(),
            program: cosign.display().to_string(),
            secrets: Vec::new(),
        })
    }
}

/// Stands before a server: it answers so many connections with 503 itself, and hands the others on.
struct Busy {
    url: String,
    refused: Arc<AtomicUsize>,
}

impl Busy {
    async fn before(url: &str, times: usize) -> Self {
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let (address, refused) = (address.to_owned(), Arc::new(AtomicUsize::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if count.load(Ordering::Relaxed) < times {
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut head = [0; 1024];
                    let _ = from.read(&mut head).await;
                    let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
                    let _ = from.write_all(answer).await;
                } else {
                    let mut to = TcpStream::connect(&address).await.unwrap();
                    tokio::spawn(async move {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    });
                }
            }
        });
        Self { url, refused }
    }
}

/// A token of an account, which is made unless it is there.
async fn token_of(space: &Space, account: &str, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
    if accounts.get_opt(account).await.unwrap().is_none() {
        let wanted = json!({ "metadata": { "name": account } });
        let wanted = serde_json::from_value(wanted).unwrap();
        let made = accounts.create(&PostParams::default(), &wanted).await;
        made.unwrap();
    }
    let wanted = json!({
        "metadata": {},
        "spec": {"audiences": [audience], "expirationSeconds": 600},
    });
    let wanted: TokenRequest = serde_json::from_value(wanted).unwrap();
    let params = PostParams::default();
    let made = accounts.create_token_request(account, &params, &wanted);
    made.await.unwrap().status.unwrap().token.unwrap()
}

/// The real programs, and an account of the cluster in the place of a key. Builds cosign, Fulcio and Rekor: minutes, once. Only in
/// the long tests.
#[tokio::test]
#[ignore = "builds cosign and sigstore; run make e2e-full"]
async fn cosign_signs_without_a_key_of_its_own() {
    with_namespace(async |space| {
        testbed::programs::ensure(&["cosign"]).await.unwrap();
        let cluster = ControlPlane::start("keyless").await.unwrap();
        let sigstore = Sigstore::start(&cluster).await.unwrap();
        let server = Server::debian().await;
        let image = server.push_image().await;
        let builder = certified(&sigstore, space, "builder");
        let deployer = certified(&sigstore, space, "deployer");
        let nobody = Ok(Vec::new());
        assert_eq!(found_by(&server, &image, &builder).await, nobody);

        // Each account signs in its own name, and counts where it is asked for.
        for (account, by) in [("builder", &builder), ("deployer", &deployer)] {
            let with = server.identity(&sigstore, space, account, AUDIENCE).await;
            let (report, code) = sign::run(&task(&server, &image, &with), &server.folders()).await;
            assert_eq!((code, report.failure), (0, None), "{report:?}");
            let mut reported: Vec<_> = report.attestations.into_iter().map(|it| it.2).collect();
            reported.sort();
            assert_eq!(reported.len(), 2);
            assert_eq!(found_by(&server, &image, by).await, Ok(reported));
        }
        let stranger = certified(&sigstore, space, "stranger");
        assert_eq!(found_by(&server, &image, &stranger).await, nobody);
        let mut elsewhere = builder.clone();
        elsewhere.identities[0].issuer.push('/');
        assert_eq!(found_by(&server, &image, &elsewhere).await, nobody);
        // Whom somebody else certifies is somebody else.
        let mut forged = builder.clone();
        forged.root = Sigstore::start(&cluster)
            .await
            .unwrap()
            .trusted_root()
            .into();
        assert_eq!(found_by(&server, &image, &forged).await, nobody);
        let name = format!("{}@{}", server.name(), image.digest);
        cosign_agrees_on(&name, &builder, server.folder.path());

        // What cosign puts into the registry by itself is found too.
        let image = server.push_as("other", "somebody else").await;
        let name = format!("{}@{}", server.name(), image.digest);
        let with = server.identity(&sigstore, space, "builder", AUDIENCE).await;
        cosign_signs(&name, &with);
        assert_eq!(found_by(&server, &image, &builder).await.unwrap().len(), 1);
        assert_eq!(found_by(&server, &image, &deployer).await, nobody);

        waits_for_fulcio(&server, &sigstore, space).await;

        // A token that is for somebody else signs nothing.
        let image = server.push_as("third", "a third").await;
        let with = server
            .identity(&sigstore, space, "builder", "https://other.example")
            .await;
        let (report, code) = sign::run(&task(&server, &image, &with), &server.folders()).await;
        assert_eq!(code, 1, "{report:?}");
        let said = report.message.unwrap();
        assert!(said.contains("processing the identity token"), "{said}");
        assert_eq!(found_by(&server, &image, &builder).await, nobody);
    })
    .await;
}

/// Fulcio is in trouble, and then it is not.
async fn waits_for_fulcio(server: &Server, sigstore: &Sigstore, space: &Space) {
    let image = server.push_as("patient", "what takes three tries").await;
    let mut with = server.identity(sigstore, space, "builder", AUDIENCE).await;
    let busy = Busy::before(sigstore.fulcio_url(), 2).await;
    if let SignsWith::Keyless(task) = &mut with {
        task.fulcio_url.clone_from(&busy.url);
    }
    let (report, code) = sign::run(&task(server, &image, &with), &server.folders()).await;
    assert_eq!((code, report.failure), (0, None), "{report:?}");
    assert_eq!(busy.refused.load(Ordering::Relaxed), 2);
    let builder = certified(sigstore, space, "builder");
    assert_eq!(found_by(server, &image, &builder).await.unwrap().len(), 2);
}

/// An account of the namespace, and who certifies it.
fn certified(sigstore: &Sigstore, space: &Space, account: &str) -> Certified {
    let subject = Sigstore::subject(&space.name, account);
    Certified {
        root: sigstore.trusted_root().to_owned(),
        identities: vec![Identity {
            issuer: sigstore.issuer().to_owned(),
            subject: Names::Exactly(subject),
        }],
    }
}

/// Digests of what an operator finds that was signed by them.
async fn found_by(
    server: &Server,
    image: &Descriptor,
    certified: &Certified,
) -> Result<Vec<String>, String> {
    let question = SignedQuestion {
        repository: server.name(),
        digest: image.digest.clone(),
        is_insecure: true,
        certified: Some(certified.clone()),
        ..SignedQuestion::default()
    };
    let http = Http::new(Egress::everywhere());
    let found = Found::read(&http.signed(&question, None).await)?;
    let Names::Exactly(subject) = &certified.identities[0].subject else {
        unreachable!("accounts are named")
    };
    let by = format!("{subject} ({})", certified.identities[0].issuer);
    assert!(found.signed.iter().all(|found| found.by == by), "{found:?}");
    let mut artifacts: Vec<_> = found
        .signed
        .into_iter()
        .map(|found| found.artifact)
        .collect();
    artifacts.sort();
    Ok(artifacts)
}

/// cosign signs for an image as its own users have it do.
fn cosign_signs(image: &str, with: &SignsWith) {
    let SignsWith::Keyless(task) = with else {
        unreachable!("an identity signs")
    };
    let folder = Path::new(&task.identity);
    let mut command = std::process::Command::new(&task.program);
    command.args(["sign", "--yes", "--allow-http-registry"]);
    command.args([
        "--fulcio-url",
        &task.fulcio_url,
        "--rekor-url",
        &task.rekor_url,
    ]);
    command
        .arg("--identity-token")
        .arg(folder.join(IDENTITY_FILE));
    command.arg("--trusted-root").arg(folder.join(ROOT_FILE));
    command.args(["--use-signing-config=false", image]);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// The program that everybody else checks with finds signature and provenance in the name of one account, and of no other.
fn cosign_agrees_on(image: &str, certified: &Certified, folder: &Path) {
    let cosign = testbed::programs::path_of("cosign").unwrap();
    let root = folder.join("asked.json");
    std::fs::write(&root, &certified.root).unwrap();
    let Names::Exactly(subject) = &certified.identities[0].subject else {
        unreachable!("accounts are named")
    };
    let attested = ["verify-attestation", "--type", "slsaprovenance1"];
    for verb in [&["verify"][..], &attested] {
        for (subject, is_good) in [(subject.clone(), true), (format!("{subject}2"), false)] {
            let mut command = std::process::Command::new(&cosign);
            command.args(verb).arg("--trusted-root").arg(&root);
            command.args(["--certificate-identity", &subject]);
            command.args(["--certificate-oidc-issuer", &certified.identities[0].issuer]);
            command.args(["--allow-http-registry", image]);
            let done = command.output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.success(), is_good, "{verb:?}: {said}");
        }
    }
}

/// What cosign, Fulcio and Rekor have made, as tests/data/sigstore/README.md has it.
fn kept(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigstore");
    std::fs::read(folder.join(name)).unwrap()
}

/// What an operator finds that lets these count, as this root of trust certifies them, and why others do not.
async fn found_in_names(server: &Server, subject: Names, root: &str) -> Found {
    let identity = Identity {
        issuer: "http://issuer.example.com".into(),
        subject,
    };
    let question = SignedQuestion {
        repository: server.name(),
        digest: KEPT.into(),
        is_insecure: true,
        certified: Some(Certified {
            root: String::from_utf8(kept(root)).unwrap(),
            identities: vec![identity],
        }),
        ..SignedQuestion::default()
    };
    let http = Http::new(Egress::everywhere());
    Found::read(&http.signed(&question, None).await).unwrap()
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn what_was_signed_without_a_key_counts_by_its_name_and_the_root_of_trust() {
    let server = Server::debian().await;
    let registry = server.registry();
    let image = Descriptor {
        digest: KEPT.into(),
        ..Descriptor::of(MANIFEST, b"test")
    };
    for name in [
        "bundle.json",
        "bundle-provenance.json",
        "bundle-other-identity.json",
        "bundle-other-root.json",
    ] {
        let artifact = Artifact {
            artifact_type: BUNDLE.into(),
            media_type: BUNDLE.into(),
            content: kept(name),
            annotations: std::collections::BTreeMap::new(),
            subject: Some(image.clone()),
        };
        registry.put_artifact(&artifact).await.unwrap();
    }
    let of = |name: &str| format!("https://kubernetes.io/namespaces/team-a/serviceaccounts/{name}");
    let count = async |subject: Names, root: &str| {
        let found = found_in_names(&server, subject, root).await;
        (found.signed.len(), found.others.len())
    };
    let (own, other) = ("trusted-root.json", "trusted-root-other.json");
    let found = found_in_names(&server, Names::Exactly(of("builder")), own).await;
    let mut kinds: Vec<_> = found.signed.iter().map(|one| one.kind).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [AttestationKind::Provenance, AttestationKind::Signature]
    );
    assert!(found.signed[0].by.starts_with(&of("builder")), "{found:?}");
    let told = |part: &str| found.others.iter().any(|said| said.contains(part));
    assert!(told(&of("other")) && told("does not hold"), "{found:?}");
    assert_eq!(count(Names::Like(of("*")), own).await.0, 3);
    assert_eq!(count(Names::Exactly(of("*")), own).await.0, 0);
    let (signed, others) = count(Names::Exactly(of("builder")), other).await;
    assert_eq!((signed, others > 0), (1, true));
}
