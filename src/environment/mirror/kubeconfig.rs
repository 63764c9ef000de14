//! Reads a kubeconfig that somebody has put into a Secret: whole in itself, and nothing in it that this machine would run or read. No I/O.
//!
//! Who may write a Secret of a namespace may not have the operator run commands (`exec`, `auth-provider`), read its files, or send
//! what is in the kubeconfig to whoever answers. What is refused is named; no message has anything of what is secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use serde_json::Value;

/// How a cluster is reached.
pub struct Reach {
    /// The API server.
    pub server: Uri,
    /// Certificates to trust, in DER; the system's where there are none.
    pub trusted: Option<Vec<Vec<u8>>>,
    /// The name that its certificate has to have, where that is another.
    pub server_name: Option<String>,
    /// Who asks.
    pub user: AuthInfo,
}

/// Reads it, by its current context or the one that is named.
///
/// # Errors
/// What is wrong, and what to do.
pub fn read(text: &str, context: Option<&str>) -> Result<Reach, String> {
    // Parsers quote what they do not understand.
    let unreadable = || {
        "it is no kubeconfig: YAML with clusters, users and contexts, as kubectl reads it"
            .to_owned()
    };
    let value: Value = serde_saphyr::from_str(text).map_err(|_| unreadable())?;
    let whole: Kubeconfig = serde_json::from_value(value).map_err(|_| unreadable())?;
    let (cluster, user) = chosen(whole, context)?;
    refuse_cluster(&cluster)?;
    refuse_user(&user)?;
    Ok(Reach {
        server: server(&cluster)?,
        trusted: trusted(&cluster)?,
        server_name: cluster.tls_server_name,
        user,
    })
}

/// The cluster and the user of a context.
fn chosen(whole: Kubeconfig, context: Option<&str>) -> Result<(Cluster, AuthInfo), String> {
    let name = match context {
        Some(name) => name.to_owned(),
        None => whole
            .current_context
            .ok_or("it has no current-context: name one in spec.cluster.context")?,
    };
    let mut contexts = whole.contexts.into_iter();
    let context = contexts.find(|one| one.name == name);
    let context = context
        .and_then(|one| one.context)
        .ok_or_else(|| format!("it has no context {name}"))?;
    let of = &context.cluster;
    let mut clusters = whole.clusters.into_iter();
    let cluster = clusters.find(|one| one.name == *of);
    let cluster = cluster
        .and_then(|one| one.cluster)
        .ok_or_else(|| format!("it has no cluster {of}, which context {name} names"))?;
    let of = context
        .user
        .ok_or_else(|| format!("context {name} names no user"))?;
    let mut users = whole.auth_infos.into_iter();
    let user = users.find(|one| one.name == of);
    let user = user
        .and_then(|one| one.auth_info)
        .ok_or_else(|| format!("it has no user {of}, which context {name} names"))?;
    Ok((cluster, user))
}

fn refuse_cluster(cluster: &Cluster) -> Result<(), String> {
    if is_set(cluster.certificate_authority.as_ref()) {
        return Err(instead("certificate-authority"));
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        let text = "insecure-skip-tls-verify would show its credentials to whoever answers: give certificate-authority-data";
        return Err(text.to_owned());
    }
    if is_set(cluster.proxy_url.as_ref()) {
        let text = "proxy-url is not followed: name a server that the operator reaches by itself";
        return Err(text.to_owned());
    }
    Ok(())
}

fn refuse_user(user: &AuthInfo) -> Result<(), String> {
    let token = "use a token or client-certificate-data with client-key-data";
    if user.exec.is_some() {
        return Err(format!("exec would run a command here: {token}"));
    }
    if user.auth_provider.is_some() {
        return Err(format!("auth-provider would run a command here: {token}"));
    }
    if is_set(user.token_file.as_ref()) {
        return Err(
            "tokenFile is a path to a file, and none is read here: put the token into token"
                .to_owned(),
        );
    }
    for (name, path) in [
        ("client-certificate", &user.client_certificate),
        ("client-key", &user.client_key),
    ] {
        if is_set(path.as_ref()) {
            return Err(instead(name));
        }
    }
    if user.username.is_some() || user.password.is_some() {
        return Err(format!(
            "username and password are a login that API servers have no more: {token}"
        ));
    }
    let has_certificate = is_set(user.client_certificate_data.as_ref());
    if has_certificate != user.client_key_data.is_some() {
        return Err("client-certificate-data and client-key-data go together".to_owned());
    }
    if user.token.is_none() && !has_certificate {
        return Err(format!("its user has nothing to log in with: {token}"));
    }
    Ok(())
}

fn is_set(value: Option<&String>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

fn instead(name: &str) -> String {
    format!("{name} is a path to a file, and none is read here: put what is in it into {name}-data")
}

/// The API server. Without TLS only an address of its own will do, which nobody can make lead elsewhere.
fn server(cluster: &Cluster) -> Result<Uri, String> {
    let text = cluster.server.as_deref().unwrap_or_default();
    let wrong = || {
        "its server is no URL that can be used: https:// with a host, without user and password"
            .to_owned()
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if host.parse::<std::net::IpAddr>().is_ok() => Ok(uri),
        Some("http") => {
            let text = "its server is a name without TLS, which may lead anywhere: use https://";
            Err(text.to_owned())
        }
        Some(_) | None => Err(wrong()),
    }
}

fn trusted(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let data = cluster.certificate_authority_data.as_ref();
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        return Ok(None);
    };
    let wrong = "certificate-authority-data is no certificate in PEM, written in base64";
    let text = STANDARD.decode(data.trim()).map_err(|_| wrong.to_owned())?;
    let all = pem::parse_many(text).map_err(|_| wrong.to_owned())?;
    let all: Vec<Vec<u8>> = all
        .into_iter()
        .filter(|one| one.tag() == "CERTIFICATE")
        .map(pem::Pem::into_contents)
        .collect();
    if all.is_empty() {
        return Err(wrong.to_owned());
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sound() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "eu",
            "clusters": [{"name": "c", "cluster": {"server": "https://eu.example.com:6443"}}],
            "users": [{"name": "u", "user": {"token": "very-secret"}}, {"name": "nobody", "user": {}}],
            "contexts": [
                {"name": "eu", "context": {"cluster": "c", "user": "u", "namespace": "other"}},
                {"name": "lost", "context": {"cluster": "gone", "user": "u"}},
                {"name": "anonymous", "context": {"cluster": "c", "user": "nobody"}},
            ],
        })
    }

    fn refusal(change: &Value) -> String {
        let mut whole = sound();
        for (path, value) in change.as_object().unwrap() {
            let (parent, name) = path.rsplit_once('/').unwrap();
            whole.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        let Err(text) = read(&whole.to_string(), None) else {
            panic!("accepted: {change}")
        };
        assert!(!text.contains("secret"), "{text}");
        text
    }

    #[test]
    fn a_whole_one_is_read_by_its_context() {
        let reach = read(&sound().to_string(), None).ok().unwrap();
        assert_eq!(reach.server, "https://eu.example.com:6443");
        assert!(reach.user.token.is_some() && reach.trusted.is_none());
        let yaml = serde_saphyr::to_string(&sound()).unwrap();
        assert!(read(&yaml, Some("eu")).is_ok(), "as YAML too");
        let of = |name| read(&yaml, Some(name)).err().unwrap();
        assert!(of("us").contains("no context us"));
        assert!(of("lost").contains("no cluster gone"));
        assert!(of("anonymous").contains("nothing to log in with"));
    }

    #[test]
    fn nothing_is_run_and_no_file_is_read_for_it() {
        let table = [
            (
                "/users/0/user/exec",
                json!({"command": "aws", "apiVersion": "v1"}),
                "exec would run a command",
            ),
            (
                "/users/0/user/auth-provider",
                json!({"name": "gcp"}),
                "auth-provider would run",
            ),
            (
                "/users/0/user/tokenFile",
                json!("/var/run/secrets/token"),
                "tokenFile is a path",
            ),
            (
                "/users/0/user/client-certificate",
                json!("/etc/pki/a"),
                "client-certificate is a path",
            ),
            (
                "/users/0/user/client-key",
                json!("/etc/pki/a"),
                "client-key is a path",
            ),
            (
                "/clusters/0/cluster/certificate-authority",
                json!("/etc/ca"),
                "certificate-authority is a path",
            ),
        ];
        for (path, value, because) in table {
            let text = refusal(&json!({path: value}));
            assert!(text.contains(because), "{path}: {text}");
        }
    }

    #[test]
    fn credentials_are_shown_to_nobody_else() {
        let table = [
            (
                "/clusters/0/cluster/insecure-skip-tls-verify",
                json!(true),
                "whoever answers",
            ),
            (
                "/clusters/0/cluster/proxy-url",
                json!("http://proxy:3128"),
                "proxy-url is not followed",
            ),
            (
                "/clusters/0/cluster/server",
                json!("http://eu.example.com"),
                "a name without TLS",
            ),
            (
                "/clusters/0/cluster/server",
                json!("https://me:secret@eu.example.com"),
                "without user and password",
            ),
            (
                "/clusters/0/cluster/server",
                json!("ftp://eu.example.com"),
                "no URL that can be used",
            ),
            (
                "/clusters/0/cluster/server",
                json!(""),
                "no URL that can be used",
            ),
            (
                "/clusters/0/cluster/certificate-authority-data",
                json!("secret"),
                "no certificate in PEM",
            ),
            (
                "/users/0/user/username",
                json!("me"),
                "username and password",
            ),
            (
                "/users/0/user/client-certificate-data",
                json!("c2VjcmV0"),
                "go together",
            ),
        ];
        for (path, value, because) in table {
            let text = refusal(&json!({path: value}));
            assert!(text.contains(because), "{path}: {text}");
        }
        let mut near = sound();
        near["clusters"][0]["cluster"]["server"] = json!("http://127.0.0.1:8080");
        let reach = read(&near.to_string(), None).ok().unwrap();
        assert_eq!(reach.server, "http://127.0.0.1:8080");
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        for text in [
            "",
            "very-secret",
            "[1, 2]",
            "{users: very-secret}",
            "users: [{name: very-secret",
            "a: &a [*a]",
        ] {
            let said = read(text, None).err().unwrap();
            assert!(!said.contains("secret"), "{said}");
        }
        let said = read("{}", None).err().unwrap();
        assert!(said.contains("spec.cluster.context"), "{said}");
    }
}
