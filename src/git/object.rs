//! Asks a repository for a single object, a commit, a folder or a file, and reads the answer: the second half of git's smart
//! HTTP protocol, in its version 2, as far as that takes. No I/O.
//!
//! Each question names one object and asks for nothing that it leads to (`filter tree:0`), so that an answer is small however
//! large the repository is, and holds that object alone, whole. What came is what was asked for only if its hash says so
//! (gitprotocol-v2(5), gitformat-pack(5)).

use std::io::Read;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::read::ZlibDecoder;

use super::refs::{Packet, Packets, TIMEOUT, broken, check_status, to_repository, unreachable};
use crate::model::action::{Reply, Request};
use crate::model::text::truncate;
use crate::pipeline::api::{GitSource, SourceError, SourceErrorKind};

/// Largest object that is read.
const MAX_OBJECT: usize = 1 << 20;
/// Bytes of a hash in a folder.
const HASH: usize = 20;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file.
    Blob,
}

impl ObjectType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Tree => 2,
            Self::Blob => 3,
        }
    }
}

/// The request for one object.
pub fn request(
    git: &GitSource,
    namespace: &str,
    ca_bundle: Option<String>,
    what: (ObjectType, &str),
) -> Request {
    let timeless = Request::get(git.url.clone(), TIMEOUT);
    of(&to_repository(timeless, git, namespace, ca_bundle), what)
}

/// The same, with what another request for the repository carries; its URL is that of the repository.
pub fn of(repository: &Request, (type_, id): (ObjectType, &str)) -> Request {
    let url = format!("{}/git-upload-pack", repository.url.trim_end_matches('/'));
    let body = body((type_, id));
    let kind = "application/x-git-upload-pack-request";
    let mut request = Request {
        access: repository.access.clone(),
        ca_bundle: repository.ca_bundle.clone(),
        ..Request::post(url, kind, body, TIMEOUT)
    };
    let headers = &mut request.headers;
    headers.extend(repository.headers.clone());
    headers.insert("git-protocol".to_owned(), "version=2".to_owned());
    let accepted = "application/x-git-upload-pack-result".to_owned();
    headers.insert("accept".to_owned(), accepted);
    request
}

/// What is posted for one object.
pub(super) fn body((type_, id): (ObjectType, &str)) -> String {
    let mut body = packet("command=fetch") + &packet("object-format=sha1") + "0001";
    body += &packet("no-progress");
    body += &packet(&format!("want {id}"));
    if type_ == ObjectType::Commit {
        // Without those before it.
        body += &packet("deepen 1");
    }
    body + &packet("filter tree:0") + &packet("done") + "0000"
}

fn packet(line: &str) -> String {
    format!("{:04x}{line}\n", line.len() + 5)
}

/// What is in an object.
///
/// # Errors
/// Says why it is not known, whether that can change by itself, and what to do.
pub fn read(
    reply: &Result<Reply, String>,
    (type_, id): (ObjectType, &str),
) -> Result<Vec<u8>, SourceError> {
    let reply = reply.as_ref().map_err(|error| unreachable(error))?;
    check_status(reply.status)?;
    let pack = pack(&reply.body)?;
    let content = only_object(&pack, type_)?;
    if id_of(type_, &content) != id {
        return Err(broken());
    }
    Ok(content)
}

/// The hash of an object.
pub fn id_of(type_: ObjectType, content: &[u8]) -> String {
    let head = format!("{} {}\0", type_.as_str(), content.len());
    let whole = [head.as_bytes(), content].concat();
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &whole).as_ref())
}

/// The pack of an answer, which comes in pieces, with words for people in between.
fn pack(body: &[u8]) -> Result<Vec<u8>, SourceError> {
    let mut pack = Vec::new();
    let mut is_pack = false;
    for packet in Packets(body) {
        let Packet::Line(line) = packet? else {
            continue;
        };
        if let Some(error) = line.strip_prefix(b"ERR ") {
            return Err(refused(error));
        }
        if !is_pack {
            is_pack = line.strip_suffix(b"\n").unwrap_or(line) == b"packfile";
            continue;
        }
        match line.split_first() {
            Some((1, data)) => pack.extend_from_slice(data),
            Some((3, error)) => return Err(refused(error)),
            Some(_) | None => {}
        }
    }
    if is_pack {
        return Ok(pack);
    }
    Err(SourceError::new(
        SourceErrorKind::Protocol,
        "the server does not hand out single files: it has to speak version 2 of git's protocol and to allow filters (git config \
         uploadpack.allowFilter true)",
    ))
}

fn refused(error: &[u8]) -> SourceError {
    let error = String::from_utf8_lossy(error);
    let message = format!("the server says: {}", truncate(error.trim_end(), 256));
    SourceError::new(SourceErrorKind::Server, message)
}

/// What is in a pack of one object.
fn only_object(pack: &[u8], type_: ObjectType) -> Result<Vec<u8>, SourceError> {
    let (head, mut rest) = pack.split_at_checked(12).ok_or_else(broken)?;
    if !head.starts_with(b"PACK") {
        return Err(broken());
    }
    if !head.ends_with(&[0, 0, 0, 1]) {
        return Err(not_alone());
    }
    let mut found = None;
    let mut goes_on = true;
    // Its kind, and its length, which the hash proves anyway.
    while goes_on {
        let (byte, after) = rest.split_first().ok_or_else(broken)?;
        found.get_or_insert((byte >> 4) & 7);
        goes_on = byte & 0x80 != 0;
        rest = after;
    }
    if found != Some(type_.number()) {
        return Err(not_alone());
    }
    let mut content = Vec::new();
    let limit = u64::try_from(MAX_OBJECT).unwrap_or(u64::MAX);
    let decoder = ZlibDecoder::new(rest);
    let read = decoder.take(limit + 1).read_to_end(&mut content);
    read.map_err(|_| broken())?;
    if content.len() > MAX_OBJECT {
        let message = "what was asked for is larger than 1 MiB";
        return Err(SourceError::new(SourceErrorKind::Protocol, message));
    }
    Ok(content)
}

fn not_alone() -> SourceError {
    SourceError::new(
        SourceErrorKind::Protocol,
        "the server does not answer with the one object that it was asked for; it has to allow filters (git config \
         uploadpack.allowFilter true)",
    )
}

/// The folder of a commit.
pub fn tree_of(commit: &[u8]) -> Option<String> {
    let line = commit.strip_prefix(b"tree ")?.get(..40)?;
    let line = std::str::from_utf8(line).ok()?;
    let is_hash = line.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| line.to_owned())
}

/// The message of a commit.
pub fn message_of(commit: &[u8]) -> String {
    let text = String::from_utf8_lossy(commit);
    let message = text.split_once("\n\n");
    message.map_or_else(String::new, |(_, message)| message.to_owned())
}

/// What a folder has under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    mode: &'a [u8],
    hash: &'a [u8],
}

impl Entry<'_> {
    /// What it is; nothing for links and for other repositories.
    fn type_(&self) -> Option<ObjectType> {
        match self.mode {
            b"40000" => Some(ObjectType::Tree),
            b"100644" | b"100755" | b"100664" => Some(ObjectType::Blob),
            _ => None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.type_() == Some(ObjectType::Tree)
    }

    /// Its hash, if it is a folder.
    pub fn folder(&self) -> Option<String> {
        self.is_folder().then(|| hex(self.hash))
    }
}

/// All that a folder has; nothing for what is no folder.
pub fn entries(tree: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut rest = tree;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (entry, after) = first_entry(rest)?;
        all.push(entry);
        rest = after;
    }
    Some(all)
}

fn first_entry(tree: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let end = tree.iter().position(|byte| *byte == 0)?;
    let (head, after) = tree.split_at_checked(end)?;
    let (hash, after) = after.get(1..)?.split_at_checked(HASH)?;
    let space = head.iter().position(|byte| *byte == b' ')?;
    let (mode, name) = head.split_at_checked(space)?;
    let name = name.get(1..)?;
    Some((Entry { name, mode, hash }, after))
}

/// What a folder has under a name: whether that is a folder or a file, and its hash. Links are none of the two.
pub fn entry_of(tree: &[u8], wanted: &str) -> Option<(ObjectType, String)> {
    let (entry, _) = found(tree, wanted)?;
    Some((entry.type_()?, hex(entry.hash)))
}

/// The folder with another object under a name that it has; nothing where it has no such name.
pub fn with_entry(tree: &[u8], name: &str, id: &str) -> Option<Vec<u8>> {
    let (_, at) = found(tree, name)?;
    let mut new = tree.to_vec();
    new.get_mut(at..at + HASH)?.copy_from_slice(&bytes_of(id)?);
    Some(new)
}

/// What a folder has under a name, and where the hash of that stands.
fn found<'a>(tree: &'a [u8], wanted: &str) -> Option<(Entry<'a>, usize)> {
    let mut rest = tree;
    loop {
        let (entry, after) = first_entry(rest)?;
        if entry.name == wanted.as_bytes() {
            return Some((entry, tree.len() - after.len() - HASH));
        }
        rest = after;
    }
}

/// A hash as it stands in a folder.
fn bytes_of(id: &str) -> Option<Vec<u8>> {
    let digits = id.as_bytes().chunks(2);
    let bytes = digits.map(|two| {
        let two = std::str::from_utf8(two).ok()?;
        u8::from_str_radix(two, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|bytes| bytes.len() == HASH)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    pub(crate) use super::id_of;

    /// The line of a folder.
    pub(crate) fn line(mode: &str, name: &str, id: &str) -> Vec<u8> {
        let hash = (0..HASH).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap());
        let mut line = format!("{mode} {name}\0").into_bytes();
        line.extend(hash);
        line
    }

    /// What a server answers, in pieces of that many bytes.
    pub(crate) fn answer(type_: ObjectType, content: &[u8], piece: usize) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        let mut length = content.len();
        let mut byte = (type_.number() << 4) | u8::try_from(length & 15).unwrap();
        length >>= 4;
        while length > 0 {
            pack.push(byte | 0x80);
            byte = u8::try_from(length & 127).unwrap();
            length >>= 7;
        }
        pack.push(byte);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        pack.extend(encoder.finish().unwrap());
        pack.extend([0; HASH]);
        let mut body = b"000dpackfile\n".to_vec();
        for data in pack.chunks(piece) {
            body.extend(format!("{:04x}\x01", data.len() + 5).into_bytes());
            body.extend(data);
            body.extend(b"0009\x02wait");
        }
        body.extend(b"0000");
        body
    }

    fn ask(type_: ObjectType, id: &str, body: Vec<u8>) -> Result<Vec<u8>, SourceError> {
        read(&Ok(Reply { status: 200, body }), (type_, id))
    }

    /// What git 2.39 answers to what `request` renders.
    #[test]
    fn a_commit_as_git_hands_it_out_is_read() {
        let recorded = "MDAxMXNoYWxsb3ctaW5mbwowMDM0c2hhbGxvdyBkYjIyNjc0OTgwY2ZkZTQ5N2ExYWMyZGY1ODM5NzI4NzM5OGVhNTJlMDAwMTAwMGRwYWNrZmlsZQowMDhjAVBBQ0sAAAACAAAAAZUKeJx9ykEOwiAQBdA9p2DvhnYoA4kxXmU+84kuWk2D99cT+NZvnmSUvKIumlel5lRBGQIlO+HL2qoPNwg9vO3kMSOHEVaR+lbyaJKadzTQVItVB0ZB8zSCfebjdcYjXu2OW1y0bVqSVomX9BP6a9+fc/JPCV3CFwk+LjAwMTkBumq4NwGGFLod0fVdCczw79q0SLIwMDA2AQ4wMDAw";
        let body = STANDARD.decode(recorded).unwrap();
        let id = "db22674980cfde497a1ac2df58397287398ea52e";
        let commit = ask(ObjectType::Commit, id, body).unwrap();
        let tree = "342b817427e7408be3f3b7eecebd1298dfdab3ed";
        assert_eq!(tree_of(&commit).as_deref(), Some(tree));
    }

    #[test]
    fn what_is_asked_names_one_object_and_nothing_behind_it() {
        let git: GitSource =
            serde_json::from_value(serde_json::json!({"url": "https://git.example/a.git/"}))
                .unwrap();
        let of = |type_| request(&git, "ns", None, (type_, &"b".repeat(40)));
        let commit = of(ObjectType::Commit);
        assert_eq!(commit.url, "https://git.example/a.git/git-upload-pack");
        assert_eq!(commit.headers["git-protocol"], "version=2");
        let body = commit.body.unwrap();
        let want = format!("0032want {}\n", "b".repeat(40));
        assert_eq!(
            body,
            format!(
                "0012command=fetch\n0017object-format=sha1\n00010010no-progress\n{want}000ddeepen 1\n0012filter tree:0\n0009done\n0000"
            )
        );
        assert!(!of(ObjectType::Tree).body.unwrap().contains("deepen"));
    }

    #[test]
    fn what_has_another_hash_kind_or_length_is_refused() {
        let text = b"stages: []\n";
        let id = id_of(ObjectType::Blob, text);
        let body = answer(ObjectType::Blob, text, 7);
        assert_eq!(ask(ObjectType::Blob, &id, body.clone()).unwrap(), text);
        let other = ask(ObjectType::Blob, &"1".repeat(40), body.clone());
        assert!(other.unwrap_err().kind.is_transient());
        let tree = ask(ObjectType::Tree, &id, body).unwrap_err();
        assert!(tree.message.contains("allowFilter"), "{tree:?}");
        let large = vec![b'a'; MAX_OBJECT + 1];
        let id = id_of(ObjectType::Blob, &large);
        let large = ask(
            ObjectType::Blob,
            &id,
            answer(ObjectType::Blob, &large, 60_000),
        );
        assert!(large.unwrap_err().message.contains("1 MiB"));
    }

    #[test]
    fn a_server_that_cannot_is_told_what_it_has_to_be_able_to() {
        for body in ["", "0000", "<html>"] {
            let error = ask(ObjectType::Blob, "a", body.as_bytes().to_vec()).unwrap_err();
            let is_told = error.message.contains("version 2") || error.kind.is_transient();
            assert!(is_told, "{error:?}");
        }
        let said = ask(ObjectType::Blob, "a", b"0010ERR not ours".to_vec()).unwrap_err();
        assert_eq!(said.message, "the server says: not ours");
        let status = read(
            &Ok(Reply {
                status: 401,
                body: Vec::new(),
            }),
            (ObjectType::Blob, "a"),
        );
        assert_eq!(status.unwrap_err().kind, SourceErrorKind::Auth);
    }

    #[test]
    fn folders_tell_files_from_folders_and_links() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let tree = [
            line("40000", ".slipway", &one),
            line("120000", "link", &two),
            line("100644", "pipeline.yaml", &two),
        ]
        .concat();
        let folder = entry_of(&tree, ".slipway");
        assert_eq!(folder, Some((ObjectType::Tree, one)));
        assert_eq!(
            entry_of(&tree, "pipeline.yaml"),
            Some((ObjectType::Blob, two))
        );
        assert_eq!(entry_of(&tree, "link"), None);
        assert_eq!(entry_of(&tree, "pipeline"), None);

        let other = "3".repeat(40);
        let new = with_entry(&tree, "pipeline.yaml", &other).unwrap();
        assert_eq!(
            entry_of(&new, "pipeline.yaml"),
            Some((ObjectType::Blob, other.clone()))
        );
        assert_eq!(entry_of(&new, ".slipway"), entry_of(&tree, ".slipway"));
        assert_eq!(with_entry(&tree, "pipeline", &other), None);
        assert_eq!(with_entry(&tree, "pipeline.yaml", "no hash"), None);
    }

    proptest! {
        /// Nothing that a server says ends the process.
        #[test]
        fn anything_can_be_answered(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..200) {
            let _ = ask(ObjectType::Blob, "a", body.clone());
            let _ = entry_of(&body, "a");
            let _ = with_entry(&body, "a", &"1".repeat(40));
            let _ = tree_of(&body);
            let mut whole = answer(ObjectType::Tree, &body, 31);
            whole.truncate(cut);
            prop_assert!(ask(ObjectType::Tree, &id_of(ObjectType::Tree, &body), whole).is_err() || cut > 13);
        }
    }
}
