//! Who may ask: by the name that a request is sent to, and by its token. What browsers may do with the answers. No I/O.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest token.
const MAX_TOKEN: usize = 16 << 10;
/// What the page may load: what comes with it. Pictures of badges are made of what it was told.
pub const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self'; img-src 'self' data: blob:; object-src 'none'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The same for a report, which is a page of its own with its looks in it.
pub const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'; sandbox";

/// The secret of a server that only its own user may ask.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// One that is made of these random bytes.
    pub fn of(random: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }

    /// As it stands in the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this token. Takes as long, whatever the token is.
    pub fn is(&self, token: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), token.as_bytes()).is_ok()
    }
}

/// The token of an `Authorization` header.
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN).contains(&token.len());
    is_token.then_some(token)
}

/// Whether a request was sent to this machine itself. Another site whose name leads here is told by its name.
pub fn is_local(host: Option<&str>, port: u16) -> bool {
    let Some((name, asked)) = host.and_then(|host| host.rsplit_once(':')) else {
        return false;
    };
    let is_name = name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]";
    is_name && asked.parse() == Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let secret = Secret::of([7; 32]);
        assert_eq!(secret.as_str().len(), 43);
        assert!(secret.is(secret.as_str()));
        for wrong in [
            "",
            "x",
            &secret.as_str()[1..],
            &format!("{} ", secret.as_str()),
        ] {
            assert!(!secret.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_bearer_has_a_token() {
        assert_eq!(bearer(Some("Bearer abc")), Some("abc"));
        assert_eq!(bearer(Some("bearer  abc ")), Some("abc"));
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Basic abc"),
        ] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        assert_eq!(bearer(Some(&long)), None);
    }

    #[test]
    fn a_name_that_only_leads_here_is_not_here() {
        for here in [
            "127.0.0.1:8001",
            "localhost:8001",
            "LocalHost:8001",
            "[::1]:8001",
        ] {
            assert!(is_local(Some(here), 8001), "{here}");
        }
        for elsewhere in [
            "evil.example:8001",
            "127.0.0.1:8002",
            "127.0.0.1",
            "localhost",
            "127.0.0.1.evil.example:8001",
            "",
            ":8001",
        ] {
            assert!(!is_local(Some(elsewhere), 8001), "{elsewhere}");
        }
        assert!(!is_local(None, 8001));
    }

    #[test]
    fn no_script_that_was_not_shipped_runs() {
        for policy in [CONTENT_POLICY, REPORT_POLICY] {
            assert!(!policy.contains("script-src"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
        assert!(!CONTENT_POLICY.contains("unsafe"));
    }
}
