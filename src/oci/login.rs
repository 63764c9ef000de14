//! How to get into a registry: logins as Docker keeps them, and what a registry asks for. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::repository::Repository;

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that is traded for others.
    Identity(String),
}

/// Never what is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// `config.json` of Docker, which is also what Secrets of type `kubernetes.io/dockerconfigjson` hold.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Login {
    /// The login for a repository in a `config.json`; nothing where it has none. Helpers and stores, which are programs on a
    /// person's machine, are not asked.
    ///
    /// # Errors
    /// Says in words for people why the file cannot be read, without what is in it.
    pub fn find(config: &str, repository: &Repository) -> Result<Option<Self>, String> {
        let config: Config = serde_json::from_str(config)
            .map_err(|_| "the registry login is no config.json of Docker: it needs `auths`; kubectl create secret docker-registry makes one".to_owned())?;
        let names = repository.login_names();
        let found = names.iter().find_map(|name| {
            let is_it = |key: &str| key.trim_end_matches('/') == name.trim_end_matches('/');
            config.auths.iter().find(|(key, _)| is_it(key))
        });
        Ok(found.and_then(|(_, entry)| entry.login()))
    }

    /// The value of an `Authorization` field; nothing for a token that has to be traded first.
    pub fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                let both = STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {both}"))
            }
            Self::Identity(_) => None,
        }
    }
}

impl Entry {
    fn login(&self) -> Option<Login> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = some(&self.identitytoken) {
            return Some(Login::Identity(token));
        }
        if let (Some(user), Some(password)) = (some(&self.username), some(&self.password)) {
            return Some(Login::Password { user, password });
        }
        let both = STANDARD.decode(some(&self.auth)?.trim()).ok()?;
        let both = String::from_utf8(both).ok()?;
        let (user, password) = both.trim_end_matches('\0').split_once(':')?;
        Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// What a registry asks for with 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token of this server.
    Bearer {
        /// URL of the server that hands out tokens.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// What it has to allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads a `WWW-Authenticate` field.
    pub fn parse(field: &str) -> Option<Self> {
        let (scheme, rest) = field.trim().split_once(' ').unwrap_or((field.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut values = parameters(rest);
        Some(Self::Bearer {
            realm: values.remove("realm")?,
            service: values.remove("service"),
            scope: values.remove("scope"),
        })
    }
}

/// `a="b",c=d`; commas may stand inside of quotes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.to_owned());
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(config: &serde_json::Value, repository: &str) -> Option<Login> {
        let repository = Repository::parse(repository, false).unwrap();
        Login::find(&config.to_string(), &repository).unwrap()
    }

    fn password(user: &str, password: &str) -> Login {
        let (user, password) = (user.to_owned(), password.to_owned());
        Login::Password { user, password }
    }

    #[test]
    fn logins_are_found_in_every_form_that_docker_writes() {
        let config = json!({"auths": {
            "https://a.example/": {"auth": STANDARD.encode("ann:p:w")},
            "b.example:5000": {"username": "bob", "password": "pw"},
            "c.example": {"auth": STANDARD.encode("0000:"), "identitytoken": "refresh"},
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("hub:pw")},
        }, "credsStore": "desktop"});
        assert_eq!(find(&config, "a.example/x"), Some(password("ann", "p:w")));
        assert_eq!(
            find(&config, "b.example:5000/x"),
            Some(password("bob", "pw"))
        );
        assert_eq!(
            find(&config, "c.example/x"),
            Some(Login::Identity("refresh".into()))
        );
        assert_eq!(find(&config, "docker.io/x"), Some(password("hub", "pw")));
        assert_eq!(find(&config, "b.example/x"), None);
    }

    #[test]
    fn a_file_that_is_none_is_told_without_its_content() {
        let repository = Repository::parse("a.example/x", false).unwrap();
        let error = Login::find("user:hunter2", &repository).unwrap_err();
        assert!(!error.contains("hunter2"));
        assert!(!format!("{:?}", password("ann", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn challenges_are_read() {
        let field = r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a:pull,push""#;
        assert_eq!(
            Challenge::parse(field),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".into(),
                service: Some("registry".into()),
                scope: Some("repository:a:pull,push".into()),
            })
        );
        assert_eq!(
            Challenge::parse("basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Basic"), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Bearer service=x"), None);
        assert_eq!(Challenge::parse("Negotiate"), None);
    }
}
