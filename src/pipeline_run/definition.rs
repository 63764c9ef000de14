//! Reads the definition that a repository brings, object by object: the commit names its root folder, that names the folder of
//! the file, that the file. Each answer is on record before the next question. No I/O.

use super::api::{DefinitionStep, RunDefinition};
use crate::git::object::{self, ObjectType};
use crate::model::action::Reply;
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::pipeline::definition::{MAX_TEXT, PATH, path};

/// The object that is read next: what kind it is of, and its hash.
pub fn wanted(known: &RunDefinition) -> Option<(ObjectType, &str)> {
    let id = known.object.as_deref().or(known.sha.as_deref())?;
    let type_ = match known.step() {
        DefinitionStep::Commit => ObjectType::Commit,
        DefinitionStep::Root | DefinitionStep::Folder => ObjectType::Tree,
        DefinitionStep::File => ObjectType::Blob,
        DefinitionStep::Read | DefinitionStep::Absent => return None,
    };
    Some((type_, id))
}

/// Takes an answer in.
///
/// # Errors
/// Says why the object is not known, and whether that can change by itself.
pub fn answered(
    known: &mut RunDefinition,
    reply: &Result<Reply, String>,
) -> Result<(), SourceError> {
    let Some(wanted) = wanted(known) else {
        return Ok(());
    };
    let content = object::read(reply, wanted)?;
    let [folder, file] = PATH;
    let next = match known.step() {
        DefinitionStep::Commit => {
            let root = object::tree_of(&content).ok_or_else(no_commit)?;
            Some((DefinitionStep::Root, root))
        }
        DefinitionStep::Root => object::entry_of(&content, folder)
            .filter(|(type_, _)| *type_ == ObjectType::Tree)
            .map(|(_, id)| (DefinitionStep::Folder, id)),
        DefinitionStep::Folder => object::entry_of(&content, file)
            .filter(|(type_, _)| *type_ == ObjectType::Blob)
            .map(|(_, id)| (DefinitionStep::File, id)),
        DefinitionStep::File => {
            known.text = Some(text(content)?);
            known.step = Some(DefinitionStep::Read);
            known.object = None;
            return Ok(());
        }
        DefinitionStep::Read | DefinitionStep::Absent => return Ok(()),
    };
    (known.step, known.object) = match next {
        Some((step, id)) => (Some(step), Some(id)),
        None => (Some(DefinitionStep::Absent), None),
    };
    Ok(())
}

fn no_commit() -> SourceError {
    SourceError {
        kind: SourceErrorKind::Protocol,
        message: "the server's answer is no commit".to_owned(),
    }
}

fn text(content: Vec<u8>) -> Result<String, SourceError> {
    let problem = |message: String| SourceError {
        kind: SourceErrorKind::Definition,
        message: format!("{} {message}", path()),
    };
    if content.len() > MAX_TEXT {
        let most = MAX_TEXT >> 10;
        return Err(problem(format!(
            "is larger than {most} KiB; make it shorter"
        )));
    }
    String::from_utf8(content).map_err(|_| problem("is not UTF-8; save it as that".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object::tests::{answer, id_of, line};

    #[expect(clippy::unnecessary_wraps, reason = "as the shell hands it on")]
    fn reply(type_: ObjectType, content: &[u8]) -> Result<Reply, String> {
        let body = answer(type_, content, 4000);
        Ok(Reply { status: 200, body })
    }

    /// Reads a repository whose folders are these lines.
    fn read(root: &[u8], folder: &[u8], file: &[u8]) -> (RunDefinition, usize) {
        let commit = format!("tree {}\n\nfirst\n", id_of(ObjectType::Tree, root));
        let mut known = RunDefinition {
            sha: Some(id_of(ObjectType::Commit, commit.as_bytes())),
            ..RunDefinition::default()
        };
        let all = [
            (ObjectType::Commit, commit.as_bytes()),
            (ObjectType::Tree, root),
            (ObjectType::Tree, folder),
            (ObjectType::Blob, file),
        ];
        let mut asked = 0;
        for (type_, content) in all {
            if wanted(&known).is_some() {
                answered(&mut known, &reply(type_, content)).unwrap();
                asked += 1;
            }
        }
        (known, asked)
    }

    fn repository(file: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let blob = line("100644", PATH[1], &id_of(ObjectType::Blob, file));
        let root = line("40000", PATH[0], &id_of(ObjectType::Tree, &blob));
        (root, blob)
    }

    #[test]
    fn a_file_is_read_in_four_questions() {
        let (root, folder) = repository(b"stages: []\n");
        let (known, asked) = read(&root, &folder, b"stages: []\n");
        assert_eq!((known.step(), asked), (DefinitionStep::Read, 4));
        assert_eq!(known.text.as_deref(), Some("stages: []\n"));
        assert_eq!((known.object.as_ref(), wanted(&known)), (None, None));
    }

    #[test]
    fn what_is_not_there_is_not_asked_for() {
        let id = "1".repeat(40);
        let other = line("40000", "src", &id);
        let (known, asked) = read(&other, b"", b"");
        assert_eq!((known.step(), asked), (DefinitionStep::Absent, 2));
        let folder = line("100644", "other.yaml", &id);
        let root = line("40000", PATH[0], &id_of(ObjectType::Tree, &folder));
        let (known, asked) = read(&root, &folder, b"");
        assert_eq!((known.step(), asked), (DefinitionStep::Absent, 3));
    }

    #[test]
    fn a_link_is_no_file() {
        let link = line("120000", PATH[1], &"1".repeat(40));
        let root = line("40000", PATH[0], &id_of(ObjectType::Tree, &link));
        assert_eq!(read(&root, &link, b"").0.step(), DefinitionStep::Absent);
    }

    #[test]
    fn a_file_that_cannot_be_is_a_mistake_of_the_file() {
        for bad in [vec![b'#'; MAX_TEXT + 1], vec![0xff, 0xfe]] {
            let (_, folder) = repository(&bad);
            let blob = object::entry_of(&folder, PATH[1]).unwrap().1;
            let mut known = RunDefinition {
                sha: Some("a".repeat(40)),
                step: Some(DefinitionStep::File),
                object: Some(blob),
                text: None,
            };
            let error = answered(&mut known, &reply(ObjectType::Blob, &bad)).unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::Definition);
            assert!(!error.kind.is_transient());
        }
    }
}
