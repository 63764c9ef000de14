//! A file of a repository, with the folders that lead to it: what has to be pushed when it changes. No I/O.

use crate::git::object::{ObjectType, entry_of, with_entry};
use crate::git::push::Object;

/// Most folders that a file may be below.
const MAX_DEPTH: usize = 16;

/// The way to a file, as far as it was read.
#[derive(Clone, Debug)]
pub struct Way<'p> {
    /// Names that are still to be followed.
    rest: Vec<&'p str>,
    /// Folders that were read, each with the name of what comes next.
    folders: Vec<(Vec<u8>, &'p str)>,
    next: (ObjectType, String),
}

/// What comes next on the way.
#[derive(Clone, Debug)]
pub enum Turn<'p> {
    /// This object has to be read.
    More(Way<'p>),
    /// This is the file.
    Here(File<'p>),
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File<'p> {
    folders: Vec<(Vec<u8>, &'p str)>,
    /// Its hash.
    pub id: String,
    /// What is in it.
    pub text: String,
}

impl<'p> Way<'p> {
    /// The way from a folder to a path below it.
    ///
    /// # Errors
    /// If that is no path.
    pub fn new(tree: &str, path: &'p str) -> Result<Self, String> {
        let names: Vec<&str> = path.split('/').collect();
        let is_wrong = |name: &&str| matches!(*name, "" | "." | ".." | ".git");
        if names.iter().any(is_wrong) || names.len() > MAX_DEPTH {
            return Err(format!("{path} is no path of a file in a repository"));
        }
        Ok(Self {
            rest: names.into_iter().rev().collect(),
            folders: Vec::new(),
            next: (ObjectType::Tree, tree.to_owned()),
        })
    }

    /// The object that has to be read next.
    pub fn next(&self) -> (ObjectType, &str) {
        (self.next.0, &self.next.1)
    }

    /// Goes on with what was read.
    ///
    /// # Errors
    /// If the path leads nowhere, or to something that is no text.
    pub fn follow(mut self, content: Vec<u8>) -> Result<Turn<'p>, String> {
        let Some(name) = self.rest.pop() else {
            let text = String::from_utf8(content).map_err(|_| "is no text in UTF-8".to_owned())?;
            return Ok(Turn::Here(File {
                folders: self.folders,
                id: self.next.1,
                text,
            }));
        };
        let (type_, id) = entry_of(&content, name).ok_or("is not there")?;
        let wanted = if self.rest.is_empty() {
            ObjectType::Blob
        } else {
            ObjectType::Tree
        };
        if type_ != wanted {
            return Err("is no file".to_owned());
        }
        self.folders.push((content, name));
        self.next = (type_, id);
        Ok(Turn::More(self))
    }
}

impl File<'_> {
    /// The hash that it has with another text.
    pub fn id_with(text: &str) -> String {
        blob(text).id()
    }

    /// What has to be pushed for it to have another text: the file, and every folder up to the top, which comes last.
    pub fn with(&self, text: &str) -> Option<Vec<Object>> {
        let mut objects = vec![blob(text)];
        for (folder, name) in self.folders.iter().rev() {
            let below = objects.last()?.id();
            objects.push(Object {
                type_: ObjectType::Tree,
                content: with_entry(folder, name, &below)?,
            });
        }
        Some(objects)
    }
}

fn blob(text: &str) -> Object {
    Object {
        type_: ObjectType::Blob,
        content: text.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object::id_of;
    use crate::git::object::tests::line;

    #[test]
    fn a_way_leads_through_folders_and_back_to_the_top() {
        let text = "a: 1\n";
        let file = id_of(ObjectType::Blob, text.as_bytes());
        let inner = [
            line("100755", "run", &file),
            line("100644", "v.yaml", &file),
        ]
        .concat();
        let inner_id = id_of(ObjectType::Tree, &inner);
        let top = line("40000", "shop", &inner_id);
        let top_id = id_of(ObjectType::Tree, &top);

        let way = Way::new(&top_id, "shop/v.yaml").unwrap();
        assert_eq!(way.next(), (ObjectType::Tree, top_id.as_str()));
        let Turn::More(way) = way.follow(top.clone()).unwrap() else {
            panic!("not there yet")
        };
        assert_eq!(way.next(), (ObjectType::Tree, inner_id.as_str()));
        let Turn::More(way) = way.follow(inner.clone()).unwrap() else {
            panic!("not there yet")
        };
        assert_eq!(way.next(), (ObjectType::Blob, file.as_str()));
        let Turn::Here(read) = way.follow(text.into()).unwrap() else {
            panic!("there")
        };
        assert_eq!((read.text.as_str(), &read.id), (text, &file));

        // The same text leads to the same folder, another one to another.
        let same = read.with(text).unwrap();
        assert_eq!(same.last().unwrap().id(), top_id);
        let other = read.with("a: 2\n").unwrap();
        assert_eq!(other.len(), 3);
        assert_eq!(other[0].id(), File::id_with("a: 2\n"));
        let kept = entry_of(&other[1].content, "run").unwrap();
        assert_eq!(kept, (ObjectType::Blob, file));
        assert_ne!(other[2].id(), top_id);
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["", "/a", "a//b", "../a", "a/.", ".git/config"] {
            assert!(Way::new("t", path).is_err(), "{path}");
        }
        let tree = line("40000", "a", &"1".repeat(40));
        let told = |path: &'static str| {
            let way = Way::new("t", path).unwrap();
            way.follow(tree.clone()).map(drop).unwrap_err()
        };
        assert_eq!(told("b"), "is not there");
        assert_eq!(told("a"), "is no file");
    }
}
