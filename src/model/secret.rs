//! A value in a Secret, by its name: all that anything below the shell ever sees of it. No I/O.
//!
//! A request that needs a secret is rendered with a placeholder in its place, and lists it in `Request::secrets`. The
//! shell reads the Secret when it sends the request, fills the value in, and takes it out of every reply and error again.
//! Plans, statuses and logs hold placeholders only. The same goes for arguments of templates that come from Secrets:
//! what stands for `{{args.<name>}}` is the placeholder.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A key of a Secret in the same namespace, which has to carry the label `slipway.dev/use`.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct SecretKey {
    /// Name of the Secret. Example: `prometheus`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// Key in its data. Example: `token`.
    #[schemars(transform = schema::data_key)]
    pub key: String,
}

/// What every placeholder begins with.
const MARK: &str = "~secret~";

/// Whether a text has the placeholder of a secret in it.
pub fn stands_in(text: &str) -> bool {
    text.contains(MARK)
}

/// A text from outside in which no placeholder stands: nothing of a Secret is ever put into it.
pub fn disarmed(text: &str) -> String {
    let mut text = text.to_owned();
    // The end of one may be the beginning of the next.
    while stands_in(&text) {
        text = text.replace(MARK, "~secret ~");
    }
    text
}

/// Key of the login for registries, in a Secret of type `kubernetes.io/dockerconfigjson`.
pub const REGISTRY_LOGIN: &str = ".dockerconfigjson";

impl SecretKey {
    /// The login for registries in the Secret `name`.
    pub fn registry_login(name: impl Into<String>) -> Self {
        Self::new(name, REGISTRY_LOGIN)
    }

    /// The value of `key` in the Secret `name`.
    pub fn new(name: impl Into<String>, key: impl Into<String>) -> Self {
        let (name, key) = (name.into(), key.into());
        Self { name, key }
    }
}

/// The placeholder. It has no character that URLs, forms or JSON would write in another way, and `~` is in no name of a
/// Secret and in no key, so it survives wherever a text goes.
impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key } = self;
        write!(f, "{MARK}{name}~{key}~")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_the_same_in_every_writing() {
        let text = SecretKey::new("api-keys", "datadog.app_key").to_string();
        assert_eq!(text, "~secret~api-keys~datadog.app_key~");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        assert!(text.chars().all(is_plain));
    }

    #[test]
    fn no_placeholder_is_left_in_a_text_from_outside() {
        assert_eq!(disarmed("~secret~pd~key~"), "~secret ~pd~key~");
        let chained = disarmed("~secret~secret~secret~pd~key~");
        assert_eq!(chained, "~secret ~secret ~secret ~pd~key~");
    }
}
