//! What signs: a private key in the pod, a key in a key service, or an identity. The last two by the program `cosign`. Talks to the
//! operating system.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::Path;

use super::cosign::{Cosign, PAUSES, config, infra, left};
use super::keyless::Keyless;
use crate::runner::mask::Mask;
use crate::runner::registry::Trouble;
use crate::runner::task::{KEY_FILE, KmsTask, PASSWORD_FILE, SignsWith};
use crate::supply::envelope;
use crate::supply::key::{PublicKey, SigningKey};

/// Something that signs statements.
pub(super) enum Signer {
    /// A key, which signs anything.
    Keyed(Keyed),
    /// An identity.
    Keyless(Box<Keyless>),
}

/// As people read it, after `with`.
impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyed(keyed) => write!(f, "{keyed}"),
            Self::Keyless(keyless) => write!(f, "{keyless}"),
        }
    }
}

impl Signer {
    /// Reads the private key, asks the key service for the public one, or reads who certifies identities. Files are exchanged in
    /// `folder`.
    pub(super) async fn open(with: &SignsWith, folder: &Path) -> Result<Self, Trouble> {
        match with {
            SignsWith::Key(place) => Ok(Self::Keyed(Keyed::in_file(Path::new(place))?)),
            SignsWith::Kms(task) => Ok(Self::Keyed(Keyed::in_service(task, folder).await?)),
            SignsWith::Keyless(task) => Ok(Self::Keyless(Box::new(Keyless::open(task, folder)?))),
        }
    }

    /// Signs a statement about a digest; the bundle.
    pub(super) async fn seal(&self, statement: &[u8], digest: &str) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Keyed(keyed) => {
                let signature = keyed.sign(&envelope::signed_text(statement)).await?;
                Ok(envelope::seal(statement, &signature, keyed.public()))
            }
            Self::Keyless(keyless) => keyless.seal(statement, digest).await,
        }
    }

    /// Reads back what it has signed about a digest; the statement. Nothing where it was somebody else.
    pub(super) fn read(&self, bundle: &[u8], digest: &str) -> Option<Vec<u8>> {
        match self {
            Self::Keyed(keyed) => {
                let keys = [keyed.public().clone()];
                envelope::open(bundle, &keys).map(|(statement, _)| statement)
            }
            Self::Keyless(keyless) => keyless.read(bundle, digest),
        }
    }

    /// The key, for what only keys sign.
    pub(super) fn keyed(&self) -> Result<&Keyed, Trouble> {
        match self {
            Self::Keyed(keyed) => Ok(keyed),
            Self::Keyless(_) => {
                let message = "sign.signatureTag takes a key: take it out, or sign with one";
                Err(config(message.to_owned()))
            }
        }
    }
}

/// A key that signs texts.
pub(super) struct Keyed {
    public: PublicKey,
    by: By,
}

enum By {
    Key(SigningKey),
    Service(Service),
}

/// A key service, behind cosign.
struct Service {
    uri: String,
    mask: Mask,
    cosign: Cosign,
}

impl fmt::Display for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.public.fingerprint())?;
        match &self.by {
            By::Key(_) => Ok(()),
            By::Service(service) => write!(f, " of {}", service.uri),
        }
    }
}

impl Keyed {
    fn in_file(folder: &Path) -> Result<Self, Trouble> {
        let key = read_key(folder)?;
        Ok(Self {
            public: key.public(),
            by: By::Key(key),
        })
    }

    async fn in_service(task: &KmsTask, folder: &Path) -> Result<Self, Trouble> {
        let service = Service {
            uri: task.uri.clone(),
            mask: Mask::read(&task.secrets).map_err(config)?,
            cosign: Cosign {
                program: task.program.clone(),
                folder: folder.to_owned(),
                field: "sign.kms",
                pauses: PAUSES,
            },
        };
        Ok(Self {
            public: service.public_key().await?,
            by: By::Service(service),
        })
    }

    /// The key that checks what this one signs.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs.
    pub(super) async fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Trouble> {
        let service = match &self.by {
            By::Key(key) => return key.sign(text).map_err(infra),
            By::Service(service) => service,
        };
        let signature = service.sign(text).await?;
        if self.public.has_signed(text, &signature) {
            return Ok(signature);
        }
        Err(infra(format!(
            "{} has signed, but not with the key that it shows, {}; if it has got a new version meanwhile, make a new run",
            service.uri,
            self.public.fingerprint()
        )))
    }
}

fn read_key(folder: &Path) -> Result<SigningKey, Trouble> {
    let text = fs::read_to_string(folder.join(KEY_FILE))
        .map_err(|error| config(format!("cannot read the private key: {error}")))?;
    let password = fs::read_to_string(folder.join(PASSWORD_FILE)).unwrap_or_default();
    // `echo password | base64` has a line break that nobody means.
    let password = password.trim_end_matches(['\r', '\n']);
    SigningKey::read(&text, password.as_bytes())
        .map_err(|message| config(format!("the private key cannot be used: {message}")))
}

impl Service {
    async fn public_key(&self) -> Result<PublicKey, Trouble> {
        let file = self.cosign.fresh("key.pub");
        let args = [OsStr::new("--outfile"), file.as_os_str()];
        self.call("public-key", &args).await?;
        let text = left(&file)?;
        PublicKey::read(&String::from_utf8_lossy(&text))
            .map_err(|message| config(format!("{} cannot be used: {message}", self.uri)))
    }

    async fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Trouble> {
        let content = self.cosign.written("content", text)?;
        let bundle = self.cosign.fresh("bundle.json");
        let args = [
            // Nothing is told to anybody else: no transparency log, no timestamp.
            OsStr::new("--use-signing-config=false"),
            OsStr::new("--tlog-upload=false"),
            OsStr::new("--new-bundle-format=true"),
            OsStr::new("--bundle"),
            bundle.as_os_str(),
            content.as_os_str(),
        ];
        self.call("sign-blob", &args).await?;
        envelope::signature_of_file(&left(&bundle)?).ok_or_else(|| {
            let message =
                "cosign left a bundle without a signature; the image of sign.kms needs cosign 3";
            infra(message.to_owned())
        })
    }

    /// Has cosign do something with the key.
    async fn call(&self, verb: &str, args: &[&OsStr]) -> Result<(), Trouble> {
        let key = [OsStr::new("--key"), OsStr::new(&self.uri)];
        let args = [key.as_slice(), args].concat();
        self.cosign.call(verb, &self.uri, &args, &self.mask).await
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::pipeline_run::api::FailureKind;
    use crate::runner::task::SecretSource;
    use crate::supply::key::testing::key;

    /// Stands in for cosign: a shell, which takes the verb for the name of a script in its folder.
    fn service(folder: &TempDir, scripts: &[(&str, &str)]) -> KmsTask {
        for (verb, script) in scripts {
            fs::write(folder.path().join(verb), script).unwrap();
        }
        KmsTask {
            uri: "hashivault://cosign".into(),
            program: "/bin/sh".into(),
            secrets: Vec::new(),
        }
    }

    async fn opened(task: &KmsTask, folder: &TempDir) -> Result<Keyed, Trouble> {
        Keyed::in_service(task, folder.path()).await
    }

    /// Why it cannot be opened.
    async fn refused(task: &KmsTask, folder: &TempDir) -> Trouble {
        opened(task, folder).await.err().unwrap()
    }

    /// What cosign leaves, with this signature.
    fn bundle(signature: &[u8]) -> String {
        json!({"messageSignature": {"signature": STANDARD.encode(signature)}}).to_string()
    }

    #[tokio::test]
    async fn a_service_is_asked_for_its_key_and_for_signatures_only() {
        let folder = TempDir::new().unwrap();
        let (ours, theirs) = (key(), key());
        let text = b"what is signed";
        let place = |name: &str| folder.path().join(name);
        fs::write(place("shown"), ours.public().pem()).unwrap();
        // What it says of a text is prepared: whether it is believed is the question.
        let task = service(
            &folder,
            &[
                ("public-key", "echo $1 $2 $3 >> asked; cp shown $4"),
                (
                    "sign-blob",
                    "echo $1 $2 $3 $4 >> asked; cp $8 seen; cp answer $7",
                ),
            ],
        );
        let signer = opened(&task, &folder).await.unwrap();
        assert_eq!(*signer.public(), ours.public());
        assert!(signer.to_string().ends_with(" of hashivault://cosign"));

        fs::write(place("answer"), bundle(&ours.sign(text).unwrap())).unwrap();
        let signature = signer.sign(text).await.unwrap();
        assert!(ours.public().has_signed(text, &signature));
        assert_eq!(fs::read(place("seen")).unwrap(), text);

        fs::write(place("answer"), bundle(&theirs.sign(text).unwrap())).unwrap();
        let trouble = signer.sign(text).await.unwrap_err();
        let says = "not with the key that it shows";
        assert!(trouble.message.contains(says), "{trouble:?}");
        fs::write(place("answer"), "{}").unwrap();
        let trouble = signer.sign(text).await.unwrap_err();
        assert!(trouble.message.contains("needs cosign 3"), "{trouble:?}");

        let asked = fs::read_to_string(place("asked")).unwrap();
        let asked: Vec<&str> = asked.lines().collect();
        let signs = "--key hashivault://cosign --use-signing-config=false --tlog-upload=false";
        let wanted = ["--key hashivault://cosign --outfile", signs, signs, signs];
        assert_eq!(asked, wanted);
    }

    #[tokio::test]
    async fn what_cosign_says_against_it_is_told_without_secrets() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("token"), "s.hunter2hunter2").unwrap();
        let script = "echo first; echo 'Error: 403, token s.hunter2hunter2' >&2; exit 7";
        let mut task = service(&folder, &[("public-key", script)]);
        let token = folder.path().join("token").display().to_string();
        task.secrets = vec![SecretSource::File(token)];
        let trouble = refused(&task, &folder).await;
        assert_eq!(trouble.kind, FailureKind::Infra);
        for said in ["hashivault://cosign", "7", "403, token [redacted]"] {
            assert!(trouble.message.contains(said), "{}", trouble.message);
        }
        task.secrets = vec![SecretSource::Variable("SLIPWAY_NO_SUCH_VARIABLE".into())];
        assert_eq!(refused(&task, &folder).await.kind, FailureKind::Config);
    }

    #[tokio::test]
    async fn an_image_without_cosign_and_a_key_of_another_kind_are_mistakes() {
        let folder = TempDir::new().unwrap();
        let garbage = service(&folder, &[("public-key", "echo garbage > $4")]);
        let trouble = refused(&garbage, &folder).await;
        assert_eq!(trouble.kind, FailureKind::Config);
        let begins = "hashivault://cosign cannot be used: ";
        assert!(trouble.message.starts_with(begins), "{}", trouble.message);
        // What was left before is no answer.
        let mut silent = service(&folder, &[("public-key", "true")]);
        assert_eq!(refused(&silent, &folder).await.kind, FailureKind::Infra);
        silent.program = folder.path().join("nothing").display().to_string();
        let trouble = refused(&silent, &folder).await;
        assert_eq!(trouble.kind, FailureKind::Config);
        assert!(trouble.message.contains("needs it on its path"));
    }
}
