//! A new commit for a branch: the objects that it is made of, and their way to the repository by git's smart HTTP protocol.
//! No I/O.
//!
//! A branch is moved from the commit that was seen to the new one, or not at all: the server compares. So nothing is ever pushed
//! over what somebody else has pushed meanwhile, and what was pushed twice is refused the second time
//! (gitprotocol-pack(5), gitformat-pack(5)).

use std::io::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::object::{ObjectType, id_of};
use super::refs::{
    PUSH_SERVICE, Packet, Packets, TIMEOUT, broken, check_status, listed, unreachable,
};
use crate::model::action::{Reply, Request};
use crate::model::change::Person;
use crate::model::text::truncate;
use crate::pipeline::api::{SourceError, SourceErrorKind};

/// Stands for the commit of a branch that is not there.
const NONE: &str = "0000000000000000000000000000000000000000";
/// Longest sentence of a server's that is told, in bytes.
const MAX_SAID: usize = 300;

/// An object that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub type_: ObjectType,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Object {
    /// Its hash.
    pub fn id(&self) -> String {
        id_of(self.type_, &self.content)
    }
}

/// A commit on top of another one.
pub fn commit(tree: &str, parent: &str, by: &Person, at: i64, message: &str) -> Object {
    let Person { name, email } = by;
    let who = format!("{name} <{email}> {at} +0000");
    let message = message.trim_end();
    let text =
        format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{message}\n");
    Object {
        type_: ObjectType::Commit,
        content: text.into_bytes(),
    }
}

/// The move of a branch.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// Its full ref.
    pub git_ref: &'a str,
    /// The commit that it is at; nothing where it is not there.
    pub from: Option<&'a str>,
    /// The commit that it is to be at.
    pub to: &'a str,
}

/// The request for all refs of a repository, asked as who wants to push: the server says now whether that is allowed.
pub fn refs_request(repository: &Request) -> Request {
    let url = repository.url.trim_end_matches('/');
    Request {
        url: format!("{url}/info/refs?service=git-receive-pack"),
        ..repository.clone()
    }
}

/// The full refs, with the object that each is at.
///
/// # Errors
/// Says why they are not known, whether that can change by itself, and what to do.
pub fn refs(reply: &Result<Reply, String>) -> Result<Vec<(String, String)>, SourceError> {
    listed(reply, PUSH_SERVICE)
}

/// The request that moves a branch, with the objects that the repository does not have.
pub fn request(repository: &Request, to: Move, objects: &[Object]) -> Request {
    let url = repository.url.trim_end_matches('/');
    let command = format!(
        "{} {} {}\0 report-status side-band-64k agent=slipway",
        to.from.unwrap_or(NONE),
        to.to,
        to.git_ref
    );
    let mut bytes = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    bytes.extend(pack(objects));
    let mut headers = repository.headers.clone();
    for (name, value) in [
        ("content-type", "application/x-git-receive-pack-request"),
        ("accept", "application/x-git-receive-pack-result"),
    ] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    Request {
        method: "POST",
        url: format!("{url}/git-receive-pack"),
        headers,
        bytes: Some(bytes),
        timeout: TIMEOUT,
        ..repository.clone()
    }
}

/// Objects in the form in which they are sent.
fn pack(objects: &[Object]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
    pack.extend(count.to_be_bytes());
    for object in objects {
        pack.extend(head(object));
        let mut encoder = ZlibEncoder::new(pack, Compression::default());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&object.content);
        pack = encoder.finish().unwrap_or_default();
    }
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &pack);
    pack.extend(sum.as_ref());
    pack
}

/// Kind and length of an object: four bits of the length in the first byte, seven in each that follows.
fn head(object: &Object) -> Vec<u8> {
    let mut length = object.content.len();
    let low = |length: usize, bits: usize| u8::try_from(length & bits).unwrap_or(0);
    let mut byte = (object.type_.number() << 4) | low(length, 15);
    length >>= 4;
    let mut head = Vec::new();
    while length > 0 {
        head.push(byte | 0x80);
        byte = low(length, 127);
        length >>= 7;
    }
    head.push(byte);
    head
}

/// Whether the branch was moved.
///
/// # Errors
/// What the server says against it; where it says so because somebody else was faster, the branch has another commit now.
pub fn read(reply: &Result<Reply, String>, git_ref: &str) -> Result<(), SourceError> {
    let reply = reply.as_ref().map_err(|error| unreachable(error))?;
    check_status(reply.status)?;
    let (report, said) = report(&reply.body)?;
    let mut is_moved = false;
    for packet in Packets(&report) {
        let Packet::Line(line) = packet? else {
            continue;
        };
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line == "unpack ok" {
            continue;
        }
        if line.strip_prefix("ok ") == Some(git_ref) {
            is_moved = true;
            continue;
        }
        let why = line.strip_prefix("ng ").unwrap_or(line);
        let why = why.strip_prefix(git_ref).unwrap_or(why).trim();
        return Err(refused(why, &said));
    }
    if is_moved { Ok(()) } else { Err(broken()) }
}

fn refused(why: &str, said: &str) -> SourceError {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = match said.as_str() {
        "" => why.to_owned(),
        said => format!("{why}: {said}"),
    };
    let message: String = message.chars().filter(|c| !c.is_control()).collect();
    SourceError::new(SourceErrorKind::Protocol, truncate(&message, MAX_SAID))
}

/// The report of a push, and what the server says to people beside it.
fn report(body: &[u8]) -> Result<(Vec<u8>, String), SourceError> {
    let (mut report, mut said) = (Vec::new(), String::new());
    for packet in Packets(body) {
        let Packet::Line(line) = packet? else {
            continue;
        };
        match line.split_first() {
            Some((1, data)) => report.extend_from_slice(data),
            Some((2, data)) => said.push_str(&String::from_utf8_lossy(data)),
            Some((3, data)) => return Err(refused(&String::from_utf8_lossy(data), &said)),
            // A server that does not put the two side by side.
            Some(_) => {
                let whole = format!("{:04x}", line.len() + 4).into_bytes();
                report.extend(whole);
                report.extend_from_slice(line);
            }
            None => {}
        }
    }
    Ok((report, said))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::object;
    use super::*;

    const MAIN: &str = "refs/heads/main";

    fn repository() -> Request {
        let mut get = Request::get("https://git.example/a.git/".into(), Duration::from_secs(1));
        get.headers.insert("user-agent".into(), "git".into());
        get
    }

    fn line(text: &str) -> Vec<u8> {
        format!("{:04x}{text}", text.len() + 4).into_bytes()
    }

    fn beside(band: u8, data: &[u8]) -> Vec<u8> {
        let mut packet = format!("{:04x}", data.len() + 5).into_bytes();
        packet.push(band);
        packet.extend(data);
        packet
    }

    fn told(body: Vec<u8>) -> Result<(), SourceError> {
        read(&Ok(Reply { status: 200, body }), MAIN)
    }

    #[test]
    fn a_commit_has_the_hash_that_git_gives_it() {
        let by = Person {
            name: "Alice".into(),
            email: "alice@example.com".into(),
        };
        // `git commit-tree` of the empty folder on top of a commit that is all of one digit.
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let parent = "1".repeat(40);
        let commit = commit(tree, &parent, &by, 1_800_000_000, "Say so\n\nTrailer: a\n");
        let text = String::from_utf8(commit.content.clone()).unwrap();
        assert_eq!(
            text,
            format!(
                "tree {tree}\nparent {parent}\nauthor Alice <alice@example.com> 1800000000 +0000\n\
                 committer Alice <alice@example.com> 1800000000 +0000\n\nSay so\n\nTrailer: a\n"
            )
        );
        let empty = Object {
            type_: ObjectType::Blob,
            content: Vec::new(),
        };
        assert_eq!(empty.id(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(commit.id().len(), 40);
    }

    #[test]
    fn what_is_pushed_moves_a_branch_from_what_was_seen_and_is_read_as_it_was_written() {
        let text = b"a file that is longer than fifteen bytes".to_vec();
        let blob = Object {
            type_: ObjectType::Blob,
            content: text.clone(),
        };
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let to = Move {
            git_ref: MAIN,
            from: Some(&old),
            to: &new,
        };
        let sent = request(&repository(), to, std::slice::from_ref(&blob));
        assert_eq!(sent.url, "https://git.example/a.git/git-receive-pack");
        assert_eq!(sent.method, "POST");
        assert_eq!(sent.headers["user-agent"], "git");
        let bytes = sent.bytes.unwrap();
        let command = format!("{old} {new} {MAIN}\0 report-status side-band-64k agent=slipway");
        let command = line(&command);
        assert!(bytes.starts_with(&command));
        let pack = &bytes[command.len() + 4..];
        assert!(pack.starts_with(b"PACK\0\0\0\x02\0\0\0\x01"));
        // Read back by who reads what servers send.
        let mut body = b"000dpackfile\n".to_vec();
        body.extend(beside(1, pack));
        body.extend(b"0000");
        let reply = Ok(Reply { status: 200, body });
        let read = object::read(&reply, (ObjectType::Blob, &blob.id()));
        assert_eq!(read.unwrap(), text);
        let fresh = Move { from: None, ..to };
        let sent = request(&repository(), fresh, &[]).bytes.unwrap();
        assert!(sent[4..].starts_with(NONE.as_bytes()));
    }

    #[test]
    fn only_a_branch_that_was_moved_is_moved() {
        let good = [
            line("unpack ok\n"),
            line("ok refs/heads/main\n"),
            b"0000".to_vec(),
        ]
        .concat();
        assert_eq!(told(good.clone()), Ok(()));
        let banded = [beside(2, b"hello\n"), beside(1, &good), b"0000".to_vec()].concat();
        assert_eq!(told(banded), Ok(()));
        let none = [line("unpack ok\n"), b"0000".to_vec()].concat();
        assert!(told(none).unwrap_err().kind.is_transient());
        assert!(told(Vec::new()).is_err());
        let other = [line("unpack ok\n"), line("ok refs/heads/other\n")].concat();
        assert!(told(other).is_err());
    }

    #[test]
    fn the_servers_words_against_it_are_told() {
        let report = [
            line("unpack ok\n"),
            line("ng refs/heads/main pre-receive hook declined\n"),
        ]
        .concat();
        let body = [
            beside(2, b"branch main is\n protected\n"),
            beside(1, &report),
        ]
        .concat();
        assert_eq!(
            told(body).unwrap_err().message,
            "pre-receive hook declined: branch main is protected"
        );
        let unpack = told(line("unpack index-pack abnormal exit\n")).unwrap_err();
        assert!(unpack.message.contains("index-pack"), "{unpack:?}");
        let fatal = told(beside(3, b"no space")).unwrap_err();
        assert_eq!(fatal.message, "no space");
        let login = read(
            &Ok(Reply {
                status: 403,
                body: Vec::new(),
            }),
            MAIN,
        );
        assert_eq!(login.unwrap_err().kind, SourceErrorKind::Auth);
    }

    #[test]
    fn refs_are_asked_for_as_who_wants_to_push() {
        let asked = refs_request(&repository());
        assert_eq!(
            asked.url,
            "https://git.example/a.git/info/refs?service=git-receive-pack"
        );
        let sha = "c".repeat(40);
        let body = [
            line("# service=git-receive-pack\n"),
            b"0000".to_vec(),
            line(&format!("{sha} refs/heads/main\0report-status atomic\n")),
            b"0000".to_vec(),
        ]
        .concat();
        let read = refs(&Ok(Reply { status: 200, body }));
        assert_eq!(read.unwrap(), [(MAIN.to_owned(), sha)]);
    }
}
