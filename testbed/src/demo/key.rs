//! The key that signs what the demo builds: made anew each time, and in one Secret only.

use anyhow::{Context, Result};
use serde_json::json;

use crate::process::run;
use crate::settings::Settings;

/// Name of the Secret, as the demo's Pipeline has it.
const SECRET: &str = "cosign";

/// A pair of keys, in PEM.
pub(crate) struct Key {
    private: String,
    public: String,
}

/// Makes one, on the curve P-256.
pub(crate) async fn new() -> Result<Key> {
    let root = Settings::from_env().root;
    std::fs::create_dir_all(&root)?;
    let file = root.join(crate::control_plane::unique("key"));
    let made = make(&file.display().to_string()).await;
    let _ = std::fs::remove_file(&file);
    made.context("cannot make a key that signs")
}

async fn make(file: &str) -> Result<Key> {
    let curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"];
    // Nobody but its owner reads a file that openssl makes for a key.
    let generate = [&["genpkey", "-algorithm", "EC", "-out", file][..], &curve].concat();
    run("openssl", &generate).await?;
    Ok(Key {
        private: std::fs::read_to_string(file)?,
        public: run("openssl", &["pkey", "-in", file, "-pubout"]).await?,
    })
}

impl Key {
    /// The Secret with the private key, which stages may use.
    pub(crate) fn secret(&self, namespace: &str) -> String {
        let labels = json!({"slipway.dev/use": "pipelines"});
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace, "labels": labels},
            "stringData": {"cosign.key": self.private},
        })
        .to_string()
    }

    /// The public key, as it stands between quotation marks in YAML.
    pub(crate) fn public(&self) -> String {
        format!("{}\n", self.public.trim()).replace('\n', "\\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_one_line_that_yaml_reads_as_several() {
        let key = Key {
            private: String::new(),
            public: "-----BEGIN-----\nMFk=\n-----END-----\n".to_owned(),
        };
        let read: String = serde_saphyr::from_str(&format!("\"{}\"", key.public())).unwrap();
        assert_eq!(read, key.public);
    }
}
