//! The cluster's certificate authority and what it signs, by the openssl program.

use anyhow::Result;

use crate::process::run;
use crate::site::Site;

/// Valid for: nobody keeps a testbed that long.
const DAYS: &str = "3650";

/// Keys that are made in no time, unlike RSA's.
const CURVE: &str = "ec_paramgen_curve:prime256v1";

/// Whom a certificate is for.
pub(crate) enum Subject<'a> {
    /// A server reached under these names and addresses (`DNS:…`, `IP:…`).
    Server(&'a [&'a str]),
    /// A Kubernetes user with groups.
    User(&'a str, &'a [&'a str]),
}

/// Makes `pki/ca.{crt,key}` and the key pair of service account tokens, unless they are there.
pub(crate) async fn authority(site: &Site) -> Result<()> {
    std::fs::create_dir_all(site.path("pki"))?;
    if site.path("pki/sa.pub").is_file() {
        return Ok(());
    }
    let config = config(site, "ca", CA)?;
    let (key, crt) = (site.arg("pki/ca.key"), site.arg("pki/ca.crt"));
    let mut args = new_key(&key);
    args.extend([
        "-x509",
        "-days",
        DAYS,
        "-config",
        &config,
        "-extensions",
        "extensions",
    ]);
    args.extend(["-subj", "/CN=slipway-testbed-ca", "-out", &crt]);
    run("openssl", &args).await?;
    let (key, public) = (site.arg("pki/sa.key"), site.arg("pki/sa.pub"));
    let curve = ["-algorithm", "EC", "-pkeyopt", CURVE];
    run(
        "openssl",
        &[&["genpkey"][..], &curve, &["-out", &key]].concat(),
    )
    .await?;
    run(
        "openssl",
        &["pkey", "-in", &key, "-pubout", "-out", &public],
    )
    .await?;
    Ok(())
}

/// Makes `pki/<name>.{crt,key}`, signed by the authority, unless they are there.
pub(crate) async fn issue(site: &Site, name: &str, subject: Subject<'_>) -> Result<()> {
    let (key, crt) = (
        site.arg(&format!("pki/{name}.key")),
        site.arg(&format!("pki/{name}.crt")),
    );
    if site.path(&format!("pki/{name}.crt")).is_file() {
        return Ok(());
    }
    let (subject, extensions) = match subject {
        Subject::Server(names) => {
            let names = names.join(",");
            (
                format!("/CN={name}"),
                format!("{LEAF}extendedKeyUsage=serverAuth\nsubjectAltName={names}\n"),
            )
        }
        Subject::User(user, groups) => (
            distinguished_name(user, groups),
            format!("{LEAF}extendedKeyUsage=clientAuth\n"),
        ),
    };
    let config = config(site, name, &extensions)?;
    let (ca, ca_key) = (site.arg("pki/ca.crt"), site.arg("pki/ca.key"));
    let mut args = new_key(&key);
    args.extend([
        "-x509",
        "-days",
        DAYS,
        "-config",
        &config,
        "-extensions",
        "extensions",
    ]);
    args.extend([
        "-CA", &ca, "-CAkey", &ca_key, "-subj", &subject, "-out", &crt,
    ]);
    run("openssl", &args).await?;
    Ok(())
}

/// A key and a request for a certificate that some cluster's signer will sign. Returns the request in PEM.
pub(crate) async fn request(
    site: &Site,
    name: &str,
    user: &str,
    groups: &[&str],
) -> Result<String> {
    let config = config(site, name, "")?;
    let key = site.arg(&format!("pki/{name}.key"));
    let subject = distinguished_name(user, groups);
    let mut args = new_key(&key);
    args.extend(["-config", &config, "-subj", &subject]);
    run("openssl", &args).await
}

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                  subjectKeyIdentifier=hash\n";
const LEAF: &str = "basicConstraints=critical,CA:FALSE\n\
                    keyUsage=critical,digitalSignature,keyEncipherment\n";

fn new_key(key: &str) -> Vec<&str> {
    let curve = ["-newkey", "ec", "-pkeyopt", CURVE];
    [&["req", "-new"][..], &curve, &["-nodes", "-keyout", key]].concat()
}

/// A configuration of our own: the machine's may add extensions that clash.
fn config(site: &Site, name: &str, extensions: &str) -> Result<String> {
    let text = format!(
        "[req]\ndistinguished_name=names\nprompt=no\nstring_mask=utf8only\n[names]\n[extensions]\n{extensions}"
    );
    let path = site.write(&format!("pki/{name}.cnf"), &text)?;
    Ok(path.display().to_string())
}

/// Kubernetes reads the user from CN and the groups from every O.
fn distinguished_name(user: &str, groups: &[&str]) -> String {
    let escape = |text: &str| {
        text.replace('\\', r"\\")
            .replace('/', r"\/")
            .replace('+', r"\+")
    };
    let fields = groups
        .iter()
        .map(|group| ("O", *group))
        .chain([("CN", user)]);
    fields.fold(String::new(), |name, (field, value)| {
        name + "/" + field + "=" + &escape(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_field() {
        assert_eq!(
            distinguished_name("a/O=b", &["x", "y"]),
            r"/O=x/O=y/CN=a\/O=b"
        );
    }
}
