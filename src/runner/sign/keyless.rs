//! Signing without a key: cosign makes one, has Fulcio certify it for the pod's token, signs, and has Rekor keep that. Talks to
//! the operating system.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::interval;

use super::cosign::{Cosign, PAUSES, config, infra, left};
use crate::runner::mask::Mask;
use crate::runner::registry::Trouble;
use crate::runner::task::{IDENTITY_FILE, KeylessTask, ROOT_FILE, SecretSource};
use crate::supply::keyless::{Root, Signatory, is_ahead};

/// How far the log's clock may be ahead of this node's, in seconds.
const MAX_AHEAD: u32 = 30;

/// An identity, behind cosign.
pub(super) struct Keyless {
    task: KeylessTask,
    root: Root,
    cosign: Cosign,
    /// In whose name it signs, once a certificate has said so.
    signatory: OnceLock<Signatory>,
}

/// As people read it, after `with`.
impl fmt::Display for Keyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signatory.get() {
            Some(signatory) => write!(f, "identity {signatory}"),
            None => write!(f, "an identity of {}", self.task.fulcio_url),
        }
    }
}

impl Keyless {
    /// Reads whom to believe. Files are exchanged in `folder`.
    pub(super) fn open(task: &KeylessTask, folder: &Path) -> Result<Self, Trouble> {
        let file = Path::new(&task.identity).join(ROOT_FILE);
        let text = fs::read_to_string(file)
            .map_err(|error| config(format!("cannot read the root of trust: {error}")))?;
        let root = Root::read(&text).map_err(|problem| {
            config(format!(
                "sign.keyless.trustedRoot cannot be used: {problem}"
            ))
        })?;
        Ok(Self {
            task: task.clone(),
            root,
            cosign: Cosign {
                program: task.program.clone(),
                folder: folder.to_owned(),
                field: "sign.keyless",
                pauses: PAUSES,
            },
            signatory: OnceLock::new(),
        })
    }

    /// Has a statement about a digest signed; the bundle. It counts only if whoever has the root of trust would believe it.
    pub(super) async fn seal(&self, statement: &[u8], digest: &str) -> Result<Vec<u8>, Trouble> {
        let content = self.cosign.written("statement.json", statement)?;
        let bundle = self.cosign.fresh("bundle.json");
        self.attest(&content, &bundle).await?;
        let bundle = left(&bundle)?;
        let mut opened = self.root.open(&bundle, digest);
        let mut tick = interval(Duration::from_secs(1));
        for _ in 0..MAX_AHEAD {
            if !opened.as_ref().is_err_and(|problem| is_ahead(problem)) {
                break;
            }
            tick.tick().await;
            opened = self.root.open(&bundle, digest);
        }
        let (signed, signatory) = opened.map_err(|problem| {
            config(format!(
                "by sign.keyless.trustedRoot, what cosign has signed does not hold: {problem}"
            ))
        })?;
        if signed != statement {
            let message = "cosign has signed something else than it was given";
            return Err(infra(message.to_owned()));
        }
        self.signatory.get_or_init(|| signatory);
        Ok(bundle)
    }

    /// Reads back what was stored.
    pub(super) fn read(&self, bundle: &[u8], digest: &str) -> Option<Vec<u8>> {
        let (statement, signatory) = self.root.open(bundle, digest).ok()?;
        (self.signatory.get() == Some(&signatory)).then_some(statement)
    }

    async fn attest(&self, content: &Path, bundle: &Path) -> Result<(), Trouble> {
        let token = self.token();
        let root = Path::new(&self.task.identity).join(ROOT_FILE);
        let args = [
            OsStr::new("--statement"),
            content.as_os_str(),
            OsStr::new("--bundle"),
            bundle.as_os_str(),
            OsStr::new("--identity-token"),
            token.as_os_str(),
            OsStr::new("--fulcio-url"),
            OsStr::new(&self.task.fulcio_url),
            OsStr::new("--rekor-url"),
            OsStr::new(&self.task.rekor_url),
            // Nothing is fetched from anybody: neither whom to believe, nor where they are.
            OsStr::new("--trusted-root"),
            root.as_os_str(),
            OsStr::new("--use-signing-config=false"),
            OsStr::new("--yes"),
        ];
        let with = &self.task.fulcio_url;
        let mask = self.mask()?;
        self.cosign.call("attest-blob", with, &args, &mask).await
    }

    fn token(&self) -> PathBuf {
        Path::new(&self.task.identity).join(IDENTITY_FILE)
    }

    /// What is kept out of what cosign says. The token is another one from time to time.
    fn mask(&self) -> Result<Mask, Trouble> {
        let token = SecretSource::File(self.token().display().to_string());
        let secrets = self.task.secrets.iter().cloned().chain([token]);
        Mask::read(&secrets.collect::<Vec<_>>()).map_err(config)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::pipeline_run::api::FailureKind;
    use crate::supply::keyless::testing::{
        BUILDER, BUNDLE, BY_OTHER, DIGEST, ISSUER, OTHER_ROOT, PROVENANCE, ROOT, STATEMENT,
    };

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.hunter2.hunter2";

    /// Stands in for cosign: a shell, which takes the verb for the name of a script in its folder.
    fn task(folder: &TempDir, script: &str, root: &str) -> KeylessTask {
        for (name, text) in [
            ("attest-blob", script),
            (IDENTITY_FILE, TOKEN),
            (ROOT_FILE, root),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        KeylessTask {
            fulcio_url: "https://fulcio.example".into(),
            rekor_url: "https://rekor.example".into(),
            identity: folder.path().display().to_string(),
            program: "/bin/sh".into(),
            secrets: Vec::new(),
        }
    }

    async fn sealed(task: &KeylessTask, folder: &TempDir) -> Result<(Vec<u8>, Keyless), Trouble> {
        let keyless = Keyless::open(task, folder.path())?;
        let bundle = keyless.seal(STATEMENT.as_bytes(), DIGEST).await?;
        Ok((bundle, keyless))
    }

    /// Why nothing is signed when this is what cosign leaves.
    async fn refused(bundle: &str, root: &str) -> Trouble {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("answer"), bundle).unwrap();
        let task = task(&folder, "cp answer $4", root);
        sealed(&task, &folder).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_statement_goes_in_and_a_bundle_that_holds_comes_out() {
        let folder = TempDir::new().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("answer"), BUNDLE).unwrap();
        let script = "echo \"$@\" > asked; cp $2 seen; cp answer $4";
        let task = task(&folder, script, ROOT);
        let (bundle, keyless) = sealed(&task, &folder).await.unwrap();
        assert_eq!(bundle, BUNDLE.as_bytes());
        assert_eq!(fs::read_to_string(place("seen")).unwrap(), STATEMENT);
        assert_eq!(
            keyless.to_string(),
            format!("identity {BUILDER} ({ISSUER})")
        );
        let asked = fs::read_to_string(place("asked")).unwrap();
        let at = |name: &str| place(name).display().to_string();
        let wanted = format!(
            "--statement {} --bundle {} --identity-token {} --fulcio-url https://fulcio.example \
             --rekor-url https://rekor.example --trusted-root {} --use-signing-config=false --yes\n",
            at("statement.json"),
            at("bundle.json"),
            at(IDENTITY_FILE),
            at(ROOT_FILE)
        );
        assert_eq!(asked, wanted);
        // What the registry hands out counts only in the same name.
        assert!(keyless.read(BUNDLE.as_bytes(), DIGEST).is_some());
        assert!(keyless.read(BY_OTHER.as_bytes(), DIGEST).is_none());
        assert!(keyless.read(b"{}", DIGEST).is_none());
    }

    #[tokio::test]
    async fn what_does_not_hold_is_not_stored() {
        for (bundle, root, says) in [
            (BUNDLE, OTHER_ROOT, "does not hold"),
            ("{}", ROOT, "no bundle"),
            (BUNDLE, "{}", "trustedRoot cannot be used"),
        ] {
            let trouble = refused(bundle, root).await;
            assert_eq!(trouble.kind, FailureKind::Config);
            assert!(trouble.message.contains(says), "{trouble:?}");
        }
        let trouble = refused(PROVENANCE, ROOT).await;
        assert_eq!(trouble.kind, FailureKind::Infra);
        assert!(trouble.message.contains("something else"), "{trouble:?}");
    }

    #[tokio::test]
    async fn what_cosign_says_against_it_is_told_without_the_token() {
        let folder = TempDir::new().unwrap();
        let script = "echo \"Error: 400, $(cat token) is of nobody\" >&2; exit 1";
        let task = task(&folder, script, ROOT);
        let trouble = sealed(&task, &folder).await.err().unwrap();
        assert_eq!(trouble.kind, FailureKind::Infra);
        for said in ["https://fulcio.example", "400, [redacted] is of nobody"] {
            assert!(trouble.message.contains(said), "{}", trouble.message);
        }
        // A bundle from before is no answer.
        fs::write(folder.path().join("bundle.json"), BUNDLE).unwrap();
        fs::write(folder.path().join("attest-blob"), "true").unwrap();
        let trouble = sealed(&task, &folder).await.err().unwrap();
        assert_eq!(trouble.kind, FailureKind::Infra);
        fs::remove_file(folder.path().join(IDENTITY_FILE)).unwrap();
        let trouble = sealed(&task, &folder).await.err().unwrap();
        assert_eq!(trouble.kind, FailureKind::Config);
    }
}
