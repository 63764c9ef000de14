//! Asks a repository for its refs and reads the answer: the first half of git's smart HTTP protocol. No I/O.
//!
//! The answer is a list of packets, each with its length in four hexadecimal digits in front
//! (gitprotocol-http(5), gitprotocol-pack(5)). Whatever is wrong with it is told in words that say what to do.

use std::time::Duration;

use crate::model::access::{Access, Login, Purpose};
use crate::model::action::{Reply, Request};
use crate::model::text::truncate;
use crate::pipeline::api::{GitSource, SourceError, SourceErrorKind};

/// Longest wait for the whole answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
/// What every answer of a smart server begins with.
const SERVICE: &[u8] = b"# service=git-upload-pack";
/// The same, where it is asked by who wants to push.
pub(super) const PUSH_SERVICE: &[u8] = b"# service=git-receive-pack";

/// The request for all refs of a repository. The password is in a Secret of the namespace.
pub fn request(git: &GitSource, namespace: &str, ca_bundle: Option<String>) -> Request {
    let url = git.url.trim_end_matches('/');
    let url = format!("{url}/info/refs?service=git-upload-pack");
    to_repository(Request::get(url, TIMEOUT), git, namespace, ca_bundle)
}

/// The same request with all that a repository wants to see of whoever asks.
pub fn to_repository(
    request: Request,
    git: &GitSource,
    namespace: &str,
    ca_bundle: Option<String>,
) -> Request {
    let access = git.credentials.as_ref().map(|credentials| {
        Box::new(Access {
            purpose: Purpose::Repository,
            namespace: namespace.to_owned(),
            login: Some(Login::Basic {
                username: credentials.username().to_owned(),
                password: credentials.password(),
            }),
            ..Access::default()
        })
    });
    let mut headers = request.headers;
    // Some servers send programs other than git to their web pages.
    headers.insert("user-agent".to_owned(), "git/2.39 (slipway)".to_owned());
    Request {
        headers,
        ca_bundle,
        access,
        ..request
    }
}

/// Name of the branch that a full ref is; any other ref as it stands.
pub fn branch_of(git_ref: &str) -> &str {
    git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref)
}

/// Name of the tag that a full ref is; nothing for any other.
pub fn tag_of(git_ref: &str) -> Option<&str> {
    git_ref.strip_prefix("refs/tags/")
}

/// Full refs of a repository, with the commit that each is at: for a tag with a message of its own, what it is about.
///
/// # Errors
/// Says why they are not known, whether that can change by itself, and what to do.
pub fn all(reply: &Result<Reply, String>) -> Result<Vec<(String, String)>, SourceError> {
    listed(reply, SERVICE)
}

/// The same, of an answer that begins with the name of the service that was asked.
pub(super) fn listed(
    reply: &Result<Reply, String>,
    service: &[u8],
) -> Result<Vec<(String, String)>, SourceError> {
    let reply = reply.as_ref().map_err(|error| unreachable(error))?;
    check_status(reply.status)?;
    let mut packets = Packets(&reply.body);
    match packets.next() {
        Some(Ok(Packet::Line(line))) if line.starts_with(service) => {}
        _ => return Err(not_git(&reply.body)),
    }
    let mut refs: Vec<(String, String)> = Vec::new();
    for packet in packets {
        let Packet::Line(line) = packet? else {
            continue;
        };
        let Some((sha, name)) = parse_ref(line)? else {
            continue;
        };
        // What a tag is about comes right behind it.
        if let Some(tag) = name.strip_suffix("^{}") {
            if let Some((known, commit)) = refs.last_mut()
                && known == tag
            {
                sha.clone_into(commit);
            }
        } else {
            refs.push((name.to_owned(), sha.to_owned()));
        }
    }
    Ok(refs)
}

/// The commit that a full ref, such as `refs/heads/main`, is at.
///
/// # Errors
/// Says why the commit is not known, whether that can change by itself, and what to do.
pub fn head(reply: &Result<Reply, String>, git_ref: &str) -> Result<String, SourceError> {
    head_of(&all(reply)?, git_ref)
}

/// The same, of refs that were read.
///
/// # Errors
/// If it is not there.
pub fn head_of(refs: &[(String, String)], git_ref: &str) -> Result<String, SourceError> {
    if let Some((_, sha)) = refs.iter().find(|(name, _)| name == git_ref) {
        return Ok(sha.clone());
    }
    let branch = branch_of(git_ref);
    let message = if refs.is_empty() {
        format!("the repository is empty; push a commit to branch {branch}")
    } else if let Some(tag) = tag_of(git_ref) {
        format!("the repository has no tag {tag}; push it, or name another")
    } else {
        format!("the repository has no branch {branch}; push it, or change the branch")
    };
    Err(SourceError::new(SourceErrorKind::NoBranch, message))
}

pub(super) fn unreachable(error: &str) -> SourceError {
    let kind = if error.starts_with("no answer") {
        SourceErrorKind::Timeout
    } else {
        SourceErrorKind::Unreachable
    };
    SourceError::new(kind, truncate(error, 512))
}

pub(super) fn check_status(status: u16) -> Result<(), SourceError> {
    let (kind, message) = match status {
        200 => return Ok(()),
        401 | 403 => (
            SourceErrorKind::Auth,
            "the repository asks for a login, or does not take this one; set source.git.credentials, or renew the password",
        ),
        404 | 410 => (
            SourceErrorKind::NotFound,
            "there is no repository at this URL, or it takes another login to see it; check the URL",
        ),
        429 => (
            SourceErrorKind::Server,
            "the server asks to be asked less often; raise the polling interval",
        ),
        300..=399 => (
            SourceErrorKind::Protocol,
            "the server redirects without end or without saying where to; check the URL",
        ),
        500.. => (
            SourceErrorKind::Server,
            "the server has a problem of its own; it is asked again",
        ),
        _ => (
            SourceErrorKind::Protocol,
            "the server refuses the request; check the URL",
        ),
    };
    Err(SourceError::new(
        kind,
        format!("HTTP status {status}: {message}"),
    ))
}

fn not_git(body: &[u8]) -> SourceError {
    let start = String::from_utf8_lossy(body.get(..body.len().min(256)).unwrap_or_default());
    let start = start.trim_start().to_ascii_lowercase();
    let is_dumb = start
        .split_once('\t')
        .is_some_and(|(sha, _)| is_sha(sha.as_bytes()));
    let message = if start.starts_with("<!doctype") || start.starts_with("<html") {
        "the server answers with a web page; use the URL for cloning, and set source.git.credentials if it takes a login"
    } else if is_dumb {
        "the server only hands out files; it has to speak git's smart HTTP protocol"
    } else {
        "the answer is not git's; check the URL"
    };
    SourceError::new(SourceErrorKind::Protocol, message)
}

pub(super) fn broken() -> SourceError {
    SourceError::new(
        SourceErrorKind::Server,
        "the answer is cut off or damaged; the server is asked again",
    )
}

pub(super) enum Packet<'a> {
    /// The end of a section.
    Flush,
    /// What is in it, as it came: lines end in a line feed, most often.
    Line(&'a [u8]),
}

/// The packets of an answer, until its end or the first that makes no sense.
pub(super) struct Packets<'a>(pub(super) &'a [u8]);

impl<'a> Packets<'a> {
    fn read(&self) -> Option<(Packet<'a>, &'a [u8])> {
        let (length, rest) = self.0.split_at_checked(4)?;
        let length = std::str::from_utf8(length).ok()?;
        let length = usize::from_str_radix(length, 16).ok()?;
        // One more and two more end a part of an answer, and all of it, in version 2 of the protocol.
        if length <= 2 {
            return Some((Packet::Flush, rest));
        }
        let (line, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        Some((Packet::Line(line), rest))
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((packet, rest)) = self.read() else {
            self.0 = &[];
            return Some(Err(broken()));
        };
        self.0 = rest;
        Some(Ok(packet))
    }
}

/// Commit and name of a ref; nothing for lines that are about something else.
fn parse_ref(line: &[u8]) -> Result<Option<(&str, &str)>, SourceError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.starts_with(b"version ") || line.starts_with(b"shallow ") {
        return Ok(None);
    }
    if let Some(error) = line.strip_prefix(b"ERR ") {
        let error = String::from_utf8_lossy(error);
        let message = format!("the server says: {}", truncate(&error, 256));
        return Err(SourceError::new(SourceErrorKind::Server, message));
    }
    // Capabilities follow the first name after a zero byte.
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let Some((sha, name)) = line.split_at_checked(40) else {
        return Err(broken());
    };
    let name = name.strip_prefix(b" ").ok_or_else(broken)?;
    if !is_sha(sha) {
        return Err(broken());
    }
    let sha = std::str::from_utf8(sha).map_err(|_| broken())?;
    // A name in some other encoding is not one that a Pipeline can ask for.
    Ok(std::str::from_utf8(name).ok().map(|name| (sha, name)))
}

fn is_sha(text: &[u8]) -> bool {
    text.len() == 40
        && text
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIN: &str = "refs/heads/main";

    fn packet(line: &str) -> String {
        format!("{:04x}{line}", line.len() + 4)
    }

    fn answer(lines: &[&str]) -> Vec<u8> {
        let mut text = packet("# service=git-upload-pack\n") + "0000";
        for line in lines {
            text += &packet(line);
        }
        (text + "0000").into_bytes()
    }

    fn read(status: u16, body: impl Into<Vec<u8>>) -> Result<String, SourceError> {
        let body = body.into();
        head(&Ok(Reply { status, body }), MAIN)
    }

    fn kind(result: Result<String, SourceError>) -> SourceErrorKind {
        result.unwrap_err().kind
    }

    fn sha(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn repository() -> Vec<u8> {
        answer(&[
            &format!("{} HEAD\0multi_ack symref=HEAD:refs/heads/main\n", sha('a')),
            &format!("{} refs/heads/feature/x\n", sha('b')),
            &format!("{} refs/heads/main\n", sha('a')),
            &format!("{} refs/tags/v1\n", sha('c')),
            &format!("{} refs/tags/v1^{{}}\n", sha('a')),
        ])
    }

    #[test]
    fn a_tag_is_at_the_commit_that_it_is_about() {
        let tags = answer(&[
            &format!("{} refs/heads/main\0caps\n", sha('a')),
            &format!("{} refs/tags/light\n", sha('b')),
            &format!("{} refs/tags/v1.2.3\n", sha('c')),
            &format!("{} refs/tags/v1.2.3^{{}}\n", sha('d')),
        ]);
        let at = |git_ref: &str| {
            head(
                &Ok(Reply {
                    status: 200,
                    body: tags.clone(),
                }),
                git_ref,
            )
        };
        assert_eq!(at("refs/tags/light"), Ok(sha('b')));
        assert_eq!(at("refs/tags/v1.2.3"), Ok(sha('d')));
        let missing = at("refs/tags/v2").unwrap_err();
        assert!(missing.message.contains("no tag v2"), "{missing:?}");
    }

    #[test]
    fn the_head_of_a_branch_is_found() {
        assert_eq!(read(200, repository()), Ok(sha('a')));
        let other = head(
            &Ok(Reply {
                status: 200,
                body: repository(),
            }),
            "refs/heads/feature/x",
        );
        assert_eq!(other, Ok(sha('b')));
    }

    #[test]
    fn version_1_of_the_protocol_is_understood() {
        let body = answer(&["version 1\n", &format!("{} {MAIN}\0agent=git\n", sha('d'))]);
        assert_eq!(read(200, body), Ok(sha('d')));
    }

    #[test]
    fn a_missing_branch_and_an_empty_repository_are_told_apart() {
        let other = answer(&[&format!("{} refs/heads/master\0caps\n", sha('a'))]);
        let error = read(200, other).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::NoBranch);
        assert!(error.message.contains("no branch main"), "{error:?}");
        let none = answer(&[&format!("{} capabilities^{{}}\0caps\n", sha('0'))]);
        assert!(read(200, none).unwrap_err().message.contains("empty"));
        assert!(
            read(200, answer(&[]))
                .unwrap_err()
                .message
                .contains("empty")
        );
    }

    #[test]
    fn every_status_says_what_to_do() {
        assert_eq!(kind(read(401, "")), SourceErrorKind::Auth);
        assert_eq!(kind(read(403, "")), SourceErrorKind::Auth);
        assert_eq!(kind(read(404, "")), SourceErrorKind::NotFound);
        assert_eq!(kind(read(302, "")), SourceErrorKind::Protocol);
        assert_eq!(kind(read(429, "")), SourceErrorKind::Server);
        assert_eq!(kind(read(503, "")), SourceErrorKind::Server);
        assert_eq!(kind(read(418, "")), SourceErrorKind::Protocol);
    }

    #[test]
    fn no_answer_is_told_from_a_late_one() {
        let refused = head(&Err("connection refused".into()), MAIN);
        assert_eq!(kind(refused), SourceErrorKind::Unreachable);
        let late = head(&Err("no answer from git.example within 20 s".into()), MAIN);
        assert_eq!(kind(late), SourceErrorKind::Timeout);
    }

    #[test]
    fn a_web_page_and_a_dumb_server_are_recognised() {
        let page = read(200, "\n<!DOCTYPE html><html>Sign in").unwrap_err();
        assert!(page.message.contains("web page"), "{page:?}");
        let dumb = read(200, format!("{}\trefs/heads/main\n", sha('a'))).unwrap_err();
        assert!(dumb.message.contains("smart"), "{dumb:?}");
        assert_eq!(kind(read(200, "")), SourceErrorKind::Protocol);
    }

    #[test]
    fn an_error_of_the_server_is_passed_on() {
        let error = read(200, answer(&["ERR access denied or no such repository"])).unwrap_err();
        assert!(error.message.contains("access denied"), "{error:?}");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_branch_that_is_missing() {
        let whole = answer(&[
            &format!("{} refs/heads/feature\0caps\n", sha('b')),
            &format!("{} refs/heads/main\n", sha('a')),
        ]);
        let cut = &whole[..whole.len() - 20];
        assert_eq!(kind(read(200, cut)), SourceErrorKind::Server);
    }

    #[test]
    fn lengths_that_make_no_sense_are_refused() {
        for bad in ["0003", "zzzz", "-001", "ffff"] {
            let mut body = packet("# service=git-upload-pack\n") + "0000";
            body += bad;
            assert_eq!(kind(read(200, body)), SourceErrorKind::Server, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_nothing_worse(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(200, body).is_err());
        }

        #[test]
        fn a_damaged_answer_never_yields_another_commit(at in 0usize..400, byte in any::<u8>()) {
            let mut body = repository();
            let at = at % body.len();
            body[at] = byte;
            if let Ok(found) = read(200, body) {
                // A changed digit of a sha cannot be noticed here: the fetch of that commit fails later.
                prop_assert_eq!(found.len(), 40);
                prop_assert!(is_sha(found.as_bytes()));
            }
        }
    }

    #[test]
    fn the_request_asks_for_the_refs() {
        let git: GitSource = serde_json::from_value(serde_json::json!({
            "url": "https://git.example/shop/api.git/", "credentials": {"secretName": "git", "key": "token"},
        }))
        .unwrap();
        let request = request(&git, "shop", None);
        assert_eq!(
            request.url,
            "https://git.example/shop/api.git/info/refs?service=git-upload-pack"
        );
    }
}
