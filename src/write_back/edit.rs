//! What a file is to say, brought into its text: entries of kustomize's `images`, or values of a Helm chart. No I/O.
//!
//! What was changed is read again, and has to say exactly what the file said before, but for what was meant. So a text that is
//! written in a way that nobody has thought of is refused, and never damaged.

use serde_json::{Map, Value, json};

use super::yaml::{self, Mapping, Node, Tree};
use crate::model::change::{Edit, ImageEdit, ValueEdit};

/// Key of a file of kustomize that has the images.
const IMAGES: &str = "images";

/// The text as it is to be. Where it says so already, it is the same.
///
/// # Errors
/// Says what stands against it, and what to do.
pub fn apply(edit: &Edit, text: &str) -> Result<String, String> {
    let mut meant = read(text)?;
    let mut new = text.to_owned();
    match edit {
        Edit::Kustomize(images) => {
            for image in images {
                new = with_image(&new, image)?;
                set_image(&mut meant, image)?;
            }
        }
        Edit::Values(values) => {
            for value in values {
                new = with_value(&new, value)?;
                set_value(&mut meant, value)?;
            }
        }
    }
    if new == text {
        return Ok(new);
    }
    match read(&new) {
        Ok(read) if read == meant => Ok(new),
        Ok(_) | Err(_) => Err(
            "it cannot be changed without changing something else, such as what an alias stands for; write the keys out by hand \
             once"
                .to_owned(),
        ),
    }
}

/// What a text says.
fn read(text: &str) -> Result<Value, String> {
    if yaml::parse(text)?.is_none() {
        return Ok(Value::Null);
    }
    let options = serde_saphyr::options! { with_snippet: false, emit_comments: false };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("it is no YAML that can be changed: {error}"))
}

/// The mapping that a text is.
fn root(text: &str) -> Result<Option<Mapping>, String> {
    match yaml::parse(text)? {
        None => Ok(None),
        Some(node) if node.is_null() => Ok(None),
        Some(Node::Mapping(root)) => Ok(Some(root)),
        Some(Node::Scalar(_) | Node::Sequence(_) | Node::Alias(_)) => {
            Err("it has no keys at its top".to_owned())
        }
    }
}

fn with_image(text: &str, image: &ImageEdit) -> Result<String, String> {
    let text = with_item(text, image)?;
    let text = with_field(&text, image, "newName", &image.new_name)?;
    let text = with_field(&text, image, "digest", &image.digest)?;
    // A tag that stays would be shown, and be a lie.
    let item = item_of(&text, image)?;
    Ok(yaml::without(&text, &item, "newTag"))
}

/// The text with an entry of the image.
fn with_item(text: &str, image: &ImageEdit) -> Result<String, String> {
    let mut fields = vec![("name".to_owned(), Tree::Text(image.name.clone()))];
    if image.new_name != image.name {
        fields.push(("newName".to_owned(), Tree::Text(image.new_name.clone())));
    }
    fields.push(("digest".to_owned(), Tree::Text(image.digest.clone())));
    let item = Tree::Map(fields);
    let all = Tree::List(vec![item.clone()]);
    let Some(root) = root(text)? else {
        let tree = Tree::Map(vec![(IMAGES.to_owned(), all)]);
        return Ok(yaml::with_root(text, &tree));
    };
    match root.entry(IMAGES) {
        None => Ok(yaml::with_entry(text, &root, IMAGES, &all)),
        Some(entry) if entry.value.is_null() => Ok(yaml::with_child(text, &root, entry, &all)),
        Some(entry) => match &entry.value {
            Node::Sequence(list) => {
                let is_it = |node: &Node| matches!(node, Node::Mapping(item) if item.text("name") == Some(image.name.as_str()));
                if list.items.iter().any(is_it) {
                    return Ok(text.to_owned());
                }
                Ok(yaml::with_item(text, list, &item))
            }
            Node::Scalar(_) | Node::Mapping(_) | Node::Alias(_) => Err(no_list()),
        },
    }
}

fn no_list() -> String {
    "images is no list of its own; write it out".to_owned()
}

/// The entry of an image, which is there.
fn item_of(text: &str, image: &ImageEdit) -> Result<Mapping, String> {
    let root = root(text)?.ok_or_else(no_list)?;
    let Some(Node::Sequence(list)) = root.entry(IMAGES).map(|entry| &entry.value) else {
        return Err(no_list());
    };
    let mut items = list.items.iter().filter_map(|node| match node {
        Node::Mapping(item) if item.text("name") == Some(image.name.as_str()) => Some(item),
        Node::Mapping(_) | Node::Scalar(_) | Node::Sequence(_) | Node::Alias(_) => None,
    });
    items.next().cloned().ok_or_else(no_list)
}

fn with_field(text: &str, image: &ImageEdit, key: &str, value: &str) -> Result<String, String> {
    let item = item_of(text, image)?;
    match item.entry(key) {
        Some(entry) => yaml::with_value(text, entry, value)
            .map_err(|problem| format!("{key} of image {} {problem}", image.name)),
        None if key == "newName" && value == image.name => Ok(text.to_owned()),
        None => Ok(yaml::with_entry(
            text,
            &item,
            key,
            &Tree::Text(value.to_owned()),
        )),
    }
}

/// The same, of what the file says.
fn set_image(file: &mut Value, image: &ImageEdit) -> Result<(), String> {
    let images = object(file)?.entry(IMAGES).or_insert(Value::Null);
    if images.is_null() {
        *images = json!([]);
    }
    let images = images.as_array_mut().ok_or_else(no_list)?;
    let is_it = |item: &Value| item["name"] == image.name.as_str();
    if !images.iter().any(is_it) {
        images.push(json!({"name": image.name}));
    }
    let item = images.iter_mut().find(|item| is_it(item));
    let item = item.and_then(Value::as_object_mut).ok_or_else(no_list)?;
    if image.new_name != image.name || item.contains_key("newName") {
        item.insert("newName".to_owned(), json!(image.new_name));
    }
    item.insert("digest".to_owned(), json!(image.digest));
    item.remove("newTag");
    Ok(())
}

/// What has keys, or nothing yet.
fn object(value: &mut Value) -> Result<&mut Map<String, Value>, String> {
    if value.is_null() {
        *value = json!({});
    }
    let object = value.as_object_mut();
    object.ok_or_else(|| "it has no keys at its top".to_owned())
}

fn with_value(text: &str, edit: &ValueEdit) -> Result<String, String> {
    let keys: Vec<&str> = edit.key.split('.').collect();
    let Some(root) = root(text)? else {
        return Ok(yaml::with_root(text, &nested(&keys, &edit.value)));
    };
    let mut mapping = root;
    let mut rest = keys.as_slice();
    while let Some((key, below)) = rest.split_first() {
        let Some(entry) = mapping.entry(key) else {
            let tree = nested(below, &edit.value);
            return Ok(yaml::with_entry(text, &mapping, key, &tree));
        };
        if below.is_empty() {
            return yaml::with_value(text, entry, &edit.value)
                .map_err(|problem| format!("{} {problem}", edit.key));
        }
        if entry.value.is_null() {
            let tree = nested(below, &edit.value);
            return Ok(yaml::with_child(text, &mapping, entry, &tree));
        }
        (mapping, rest) = below_of(&entry.value, below).ok_or_else(|| no_keys(edit, key))?;
    }
    Err(no_keys(edit, ""))
}

/// The mapping that is below a value, where keys that are numbers pick items of lists; with the keys that are left.
fn below_of<'k>(value: &Node, keys: &'k [&'k str]) -> Option<(Mapping, &'k [&'k str])> {
    match value {
        Node::Mapping(mapping) => Some((mapping.clone(), keys)),
        Node::Sequence(list) => {
            let (index, rest) = keys.split_first()?;
            let item = list.items.get(index.parse::<usize>().ok()?)?;
            below_of(item, rest).filter(|(_, rest)| !rest.is_empty())
        }
        Node::Scalar(_) | Node::Alias(_) => None,
    }
}

fn no_keys(edit: &ValueEdit, key: &str) -> String {
    format!(
        "{}: what {key} has is no values by keys; correct the key, or write the values out",
        edit.key
    )
}

fn nested(keys: &[&str], value: &str) -> Tree {
    keys.iter()
        .rev()
        .fold(Tree::Text(value.to_owned()), |tree, key| {
            Tree::Map(vec![((*key).to_owned(), tree)])
        })
}

/// The same, of what the file says.
fn set_value(file: &mut Value, edit: &ValueEdit) -> Result<(), String> {
    let mut at = file;
    for key in edit.key.split('.') {
        at = if at.is_array() {
            let item = key
                .parse::<usize>()
                .ok()
                .and_then(|index| at.get_mut(index));
            item.ok_or_else(|| no_keys(edit, key))?
        } else {
            let object = object(at).map_err(|_| no_keys(edit, key))?;
            object.entry(key).or_insert(Value::Null)
        };
    }
    *at = json!(edit.value);
    Ok(())
}

#[cfg(test)]
mod tests;
