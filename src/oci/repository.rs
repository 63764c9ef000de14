//! Where a repository is. No I/O.

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Name of the registry, with its port if it has one, as people write it. Example: `registry.example:5000`.
    pub host: String,
    /// Name inside of the registry. Example: `shop/api`.
    pub path: String,
    /// Whether it is reached over http.
    pub is_insecure: bool,
}

/// Docker Hub, which answers under another name than people write.
const HUB: &str = "docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";
/// Under which name Docker keeps the login of its Hub.
const HUB_LOGIN: &str = "https://index.docker.io/v1/";

impl Repository {
    /// Reads `host/path`, without tag or digest; nothing for anything else.
    pub fn parse(text: &str, is_insecure: bool) -> Option<Self> {
        let (host, path) = text.split_once('/')?;
        let is_host = host == "localhost" || host.contains(['.', ':']);
        let is_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let has_empty = path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !is_host || has_empty || !path.chars().all(is_path) {
            return None;
        }
        let official = host == HUB && !path.contains('/');
        Some(Self {
            host: host.to_owned(),
            path: if official {
                format!("library/{path}")
            } else {
                path.to_owned()
            },
            is_insecure,
        })
    }

    /// The URL of something in it: `manifests/latest`, `blobs/sha256:…`.
    pub fn url(&self, rest: &str) -> String {
        let scheme = if self.is_insecure { "http" } else { "https" };
        let host = if self.host == HUB {
            HUB_SERVER
        } else {
            &self.host
        };
        format!("{scheme}://{host}/v2/{}/{rest}", self.path)
    }

    /// As people write it, without tag or digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// Names under which a login for it may be kept, best first.
    pub(super) fn login_names(&self) -> Vec<String> {
        let mut names = vec![
            self.host.clone(),
            format!("https://{}", self.host),
            format!("http://{}", self.host),
        ];
        if self.host == HUB {
            names.push(HUB_LOGIN.to_owned());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_host_and_a_path() {
        let parse = |text: &str| Repository::parse(text, false);
        let found = parse("registry.example:5000/shop/api").unwrap();
        assert_eq!(
            found.url("tags/list"),
            "https://registry.example:5000/v2/shop/api/tags/list"
        );
        assert_eq!(found.name(), "registry.example:5000/shop/api");
        let plain = Repository::parse("localhost/api", true).unwrap();
        assert_eq!(
            plain.url("manifests/x"),
            "http://localhost/v2/api/manifests/x"
        );
        let hub = parse("docker.io/alpine").unwrap();
        assert_eq!(
            hub.url("x"),
            "https://registry-1.docker.io/v2/library/alpine/x"
        );
        for bad in [
            "alpine",
            "shop/api",
            "r.example/",
            "r.example/a/../b",
            "r.example/a?b",
            "r.example/a:tag",
            "r.example/A",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
