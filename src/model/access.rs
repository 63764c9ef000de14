//! What a request needs that must not stand in a plan: values of Secrets, and the time at which it is sent. No I/O.
//!
//! A request is rendered with placeholders ([`SecretKey`], [`FROM`], [`TO`]) and says here what they stand for. The shell
//! fills them in when it sends, and takes values of Secrets out of every reply and error again. So a plan is the same
//! whenever it is made, and plans, statuses and logs hold nothing that is secret.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::secret::SecretKey;

/// Stands for the start of the window, in seconds since 1970.
pub const FROM: &str = "~from~";
/// Stands for the end of the window, in seconds since 1970: now.
pub const TO: &str = "~to~";

/// What is asked for: it decides where a request may go, and whether it may name Secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Purpose {
    /// Metrics: only from where the operator lets them come.
    #[default]
    Metrics,
    /// The refs of a repository, and what its provider is asked and told: from anywhere.
    Repository,
    /// What people are told: only where the operator lets metrics come from.
    Notification,
    /// What the provider of a repository is asked and told on another host than that of the repository: only where metrics may
    /// come from.
    Provider,
}

/// How a request gets to its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// What is asked for.
    pub purpose: Purpose,
    /// Namespace of the Secrets.
    pub namespace: String,
    /// Values of Secrets whose placeholders stand in URL, header fields or body.
    pub secrets: BTreeSet<SecretKey>,
    /// Who asks, where a header field is not enough to say so.
    pub login: Option<Login>,
    /// Certificates to trust beside the system's, in PEM.
    pub ca: Option<SecretKey>,
    /// Name of a Secret of type `kubernetes.io/tls`, with which the client proves who it is.
    pub client_certificate: Option<String>,
    /// Length of the window that [`FROM`] and [`TO`] stand for.
    pub window: Option<Duration>,
}

/// What proves who asks, and takes the values of Secrets to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Login {
    /// User and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretKey,
    },
    /// A token, as `Authorization: Bearer`. It is a login and not a placeholder, so that no text of somebody's in the body
    /// can have it filled in.
    Bearer {
        /// The token.
        token: SecretKey,
    },
    /// The whole URL, where who has it needs nothing else; then that of the request only says where.
    Url {
        /// The URL.
        url: SecretKey,
    },
    /// A signature as Amazon's services want it: Signature Version 4.
    Aws {
        /// Region, such as `eu-central-1`.
        region: String,
        /// Name of the service in signatures.
        service: &'static str,
        /// Which key it is.
        access_key_id: SecretKey,
        /// The key.
        secret_access_key: SecretKey,
        /// Goes with temporary keys.
        session_token: Option<SecretKey>,
    },
}

impl Access {
    /// Every value of a Secret that is needed.
    pub fn needed(&self) -> BTreeSet<SecretKey> {
        let mut all = self.secrets.clone();
        match &self.login {
            Some(Login::Basic { password, .. }) => drop(all.insert(password.clone())),
            Some(Login::Bearer { token }) => drop(all.insert(token.clone())),
            Some(Login::Url { url }) => drop(all.insert(url.clone())),
            Some(Login::Aws {
                access_key_id,
                secret_access_key,
                session_token,
                ..
            }) => {
                all.extend([access_key_id.clone(), secret_access_key.clone()]);
                all.extend(session_token.clone());
            }
            None => {}
        }
        all.extend(self.ca.clone());
        if let Some(name) = &self.client_certificate {
            all.extend(["tls.crt", "tls.key"].map(|key| SecretKey::new(name, key)));
        }
        all
    }
}

/// The text as a part of a URL or a form. Placeholders stay as they are.
pub fn percent_encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ALL_BUT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, ALL_BUT_UNRESERVED).to_string()
}

/// The content type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Names and values as a form or a query string.
pub fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)));
    fields.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_survive_a_form() {
        let secret = SecretKey::new("keys", "app.key").to_string();
        let form = form(&[("from", FROM), ("q", &format!("a b&{secret}"))]);
        assert_eq!(form, "from=~from~&q=a%20b%26~secret~keys~app.key~");
    }

    #[test]
    fn all_that_is_needed_of_secrets_is_known() {
        let key = |key: &str| SecretKey::new("s", key);
        let access = Access {
            secrets: BTreeSet::from([key("token")]),
            login: Some(Login::Basic {
                username: "u".into(),
                password: key("password"),
            }),
            ca: Some(key("ca.crt")),
            client_certificate: Some("client".into()),
            ..Access::default()
        };
        let needed = access.needed();
        let needed: Vec<String> = needed.iter().map(ToString::to_string).collect();
        assert_eq!(needed.len(), 5, "{needed:?}");
    }
}
