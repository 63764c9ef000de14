//! Signature Version 4, with which Amazon's services want requests signed. Here, and not in a provider, since it takes the
//! key and the time. No I/O.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use http::HeaderValue;
use http::header::{AUTHORIZATION, HOST};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::secret::Filled;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed with.
pub(super) struct Key<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
}

/// What a signature is good for.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

/// Signs a request without a query, with all its header fields.
pub(super) fn sign(
    key: &Key<'_>,
    scope: &Scope<'_>,
    method: &str,
    request: &mut Filled,
) -> Result<(), String> {
    let url = request.url.parse::<http::Uri>();
    let url = url.map_err(|_| "no usable URL".to_owned())?;
    let host = url
        .authority()
        .map_or("", http::uri::Authority::as_str)
        .to_owned();
    let path = url.path().to_owned();
    let time = scope.now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = scope.now.strftime("%Y%m%d").to_string();
    let headers = &mut request.headers;
    headers.insert("x-amz-date", sensitive(&time)?);
    if let Some(token) = key.token {
        headers.insert("x-amz-security-token", sensitive(token)?);
    }
    let mut fields: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let words: Vec<&str> = value.split_whitespace().collect();
            (name.as_str().to_owned(), words.join(" "))
        })
        .chain([(HOST.as_str().to_owned(), host)])
        .collect();
    fields.sort();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines = fields.iter().map(|(name, value)| format!("{name}:{value}"));
    let canonical = lines.collect::<Vec<_>>().join("\n") + "\n";
    let payload = hex(&Sha256::digest(request.body.as_deref().unwrap_or_default()));
    let asked = format!("{method}\n{path}\n\n{canonical}\n{names}\n{payload}");
    let Scope {
        region, service, ..
    } = scope;
    let within = format!("{date}/{region}/{service}/aws4_request");
    let hash = hex(&Sha256::digest(asked));
    let to_sign = format!("{ALGORITHM}\n{time}\n{within}\n{hash}");
    let secret = format!("AWS4{}", key.secret).into_bytes();
    let signing = [date.as_str(), region, service, "aws4_request"]
        .iter()
        .fold(secret, |key, part| mac(&key, part));
    let signature = hex(&mac(&signing, &to_sign));
    let id = key.id;
    let value = format!(
        "{ALGORITHM} Credential={id}/{within}, SignedHeaders={names}, Signature={signature}"
    );
    request.headers.insert(AUTHORIZATION, sensitive(&value)?);
    Ok(())
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| "the access key has characters that cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// The key, the scope and the time of Amazon's own test suite.
    fn signed(
        fields: &[(&'static str, &'static str)],
        body: Option<&str>,
        token: Option<&str>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut request = Filled {
            url: "https://example.amazonaws.com/".into(),
            headers,
            body: body.map(str::to_owned),
            ca: None,
            identity: None,
        };
        let key = Key {
            id: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let scope = Scope {
            region: "us-east-1",
            service: "service",
            now,
        };
        sign(&key, &scope, "POST", &mut request).unwrap();
        request.headers
    }

    fn authorization(headers: &HeaderMap) -> &str {
        std::str::from_utf8(headers[AUTHORIZATION].as_bytes()).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let vanilla = signed(&[], None, None);
        assert_eq!(
            authorization(&vanilla),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let form = signed(&form, Some("Param1=value1"), None);
        assert_eq!(
            authorization(&form),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn a_session_token_is_signed_too() {
        let headers = signed(&[], None, Some("session"));
        assert_eq!(headers["x-amz-security-token"], "session");
        assert!(
            authorization(&headers).contains("SignedHeaders=host;x-amz-date;x-amz-security-token")
        );
        assert!(headers[AUTHORIZATION].is_sensitive());
    }
}
