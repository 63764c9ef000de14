//! Files as people write them, before and after.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const DIGEST: &str = "sha256:0303030303030303030303030303030303030303030303030303030303030303";

fn image(name: &str) -> Edit {
    Edit::Kustomize(vec![ImageEdit {
        name: name.to_owned(),
        new_name: "registry.example:5000/shop/api".to_owned(),
        digest: DIGEST.to_owned(),
    }])
}

fn value(key: &str, value: &str) -> Edit {
    Edit::Values(vec![ValueEdit {
        key: key.to_owned(),
        value: value.to_owned(),
    }])
}

/// Changes a text, and proves that the change is not made twice.
fn edited(edit: &Edit, text: &str) -> String {
    let new = apply(edit, text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    assert_eq!(apply(edit, &new).as_ref(), Ok(&new), "twice");
    // The same of the other line ends.
    let other = text.replace('\n', "\r\n");
    let windows = apply(edit, &other).unwrap();
    assert_eq!(windows, new.replace('\n', "\r\n"));
    new
}

#[test]
fn an_entry_of_kustomize_gets_the_digest_and_everything_else_stays() {
    let text = "\
# Production.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images:
# The shop.
- name: web   # the front
  newTag: v7
- newTag: v1 # goes
  name: api
  # Where it comes from.
  newName: 'registry.example/old'
namespace: shop  # last
";
    let new = "\
# Production.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images:
# The shop.
- name: web   # the front
  newTag: v7
- name: api
  # Where it comes from.
  newName: 'registry.example:5000/shop/api'
  digest: sha256:0303030303030303030303030303030303030303030303030303030303030303
namespace: shop  # last
";
    assert_eq!(edited(&image("api"), text), new);
}

#[test]
fn a_tag_in_the_middle_goes_with_its_line() {
    let text = "images:\n  - name: api\n    newTag: v1\n    newName: a # x\n";
    let new =
        "images:\n  - name: api\n    newName: registry.example:5000/shop/api # x\n    digest: D\n";
    assert_eq!(edited(&image("api"), text), new.replace('D', DIGEST));
}

#[test]
fn an_image_that_is_not_there_is_added_where_the_others_are() {
    let added = |text: &str| edited(&image("api"), text).replace(DIGEST, "D");
    assert_eq!(
        added("images:\n  - name: web\n    newTag: v7 # seven\n\n# end\nnamespace: a\n"),
        "images:\n  - name: web\n    newTag: v7 # seven\n  - name: api\n    newName: registry.example:5000/shop/api\n    digest: D\n\n# end\nnamespace: a\n"
    );
    assert_eq!(
        added("namespace: a # x\n# end\n"),
        "namespace: a # x\nimages:\n- name: api\n  newName: registry.example:5000/shop/api\n  digest: D\n# end\n"
    );
    assert_eq!(
        added("images:\nnamespace: a\n"),
        "images:\n- name: api\n  newName: registry.example:5000/shop/api\n  digest: D\nnamespace: a\n"
    );
    assert_eq!(
        added("# nothing yet\n"),
        "# nothing yet\nimages:\n- name: api\n  newName: registry.example:5000/shop/api\n  digest: D\n"
    );
    assert_eq!(
        added("images: [] # none\n"),
        "images: [{name: api, newName: registry.example:5000/shop/api, digest: D}] # none\n"
    );
}

#[test]
fn entries_in_braces_stay_on_their_line() {
    let text = "images: [{name: web}, {name: api, newTag: v1, newName: \"a\"}] # x\n";
    let new = edited(&image("api"), text).replace(DIGEST, "D");
    assert_eq!(
        new,
        "images: [{name: web}, {name: api, newName: \"registry.example:5000/shop/api\", digest: D}] # x\n"
    );
}

#[test]
fn an_image_of_its_own_name_gets_no_other() {
    let text = "images:\n- name: registry.example:5000/shop/api\n  newTag: v1";
    let new = apply(&image("registry.example:5000/shop/api"), text).unwrap();
    assert_eq!(
        new,
        format!("images:\n- name: registry.example:5000/shop/api\n  digest: {DIGEST}\n")
    );
}

#[test]
fn values_keep_their_quotes_their_comments_and_their_neighbours() {
    let text = "\
replicas: 2
image: # what runs
  repository: \"registry.example/old\" # moved
  tag: 'v1'
  digest:   # none yet
  pullPolicy: Always
sidecars:
- {name: proxy, image: {digest: old}}
";
    let edit = Edit::Values(vec![
        ValueEdit {
            key: "image.repository".into(),
            value: "registry.example/shop/api".into(),
        },
        ValueEdit {
            key: "image.tag".into(),
            value: "shop-3@sha256:aa".into(),
        },
        ValueEdit {
            key: "image.digest".into(),
            value: DIGEST.into(),
        },
        ValueEdit {
            key: "sidecars.0.image.digest".into(),
            value: DIGEST.into(),
        },
    ]);
    let new = "\
replicas: 2
image: # what runs
  repository: \"registry.example/shop/api\" # moved
  tag: 'shop-3@sha256:aa'
  digest: D   # none yet
  pullPolicy: Always
sidecars:
- {name: proxy, image: {digest: D}}
";
    assert_eq!(edited(&edit, text).replace(DIGEST, "D"), new);
}

#[test]
fn keys_that_are_not_there_are_made() {
    let made = |key: &str, text: &str| edited(&value(key, "a1"), text);
    assert_eq!(
        made("image.digest", "image:\n    repository: a # x\nend: 1\n"),
        "image:\n    repository: a # x\n    digest: a1\nend: 1\n"
    );
    assert_eq!(made("a.b.c", "x: 1\n"), "x: 1\na:\n  b:\n    c: a1\n");
    assert_eq!(
        made("a.b.c", "a: # none\nx: 1\n"),
        "a: # none\n  b:\n    c: a1\nx: 1\n"
    );
    assert_eq!(made("a.b", "a: {}\nx: 1\n"), "a: {b: a1}\nx: 1\n");
    assert_eq!(made("a.b.c", "a: {x: 1}\n"), "a: {x: 1, b: {c: a1}}\n");
    assert_eq!(made("a.b", "a: null # none\n"), "a: # none\n  b: a1\n");
    assert_eq!(made("a", "# only words\n"), "# only words\na: a1\n");
}

#[test]
fn any_number_of_comments_stays() {
    let words = "# words\n".repeat(500);
    let text = format!("{words}a: b\n{words}");
    let new = edited(&value("a", "c"), &text);
    assert_eq!(new, format!("{words}a: c\n{words}"));
}

#[test]
fn what_people_use_twice_stays_what_it_is() {
    // An alias is no place of its own: the value takes its place, and the anchor stays.
    let text = "all: &all {digest: old}\none:\n  digest: &d old\ntwo:\n  digest: *d\n";
    assert_eq!(
        apply(&value("two.digest", "new"), text).unwrap(),
        "all: &all {digest: old}\none:\n  digest: &d old\ntwo:\n  digest: new\n"
    );
    // A value that others stand for would change them too.
    let problem = apply(&value("one.digest", "new"), text).unwrap_err();
    assert!(
        problem.contains("without changing something else"),
        "{problem}"
    );
    let problem = apply(
        &value("one.digest", "new"),
        "a: &a {digest: old}\none: *a\n",
    );
    assert!(problem.unwrap_err().contains("write the values out"));
}

#[test]
fn what_cannot_be_changed_says_why() {
    let told = |edit: &Edit, text: &str| apply(edit, text).unwrap_err();
    assert!(told(&image("api"), "images: {a: 1}\n").contains("no list"));
    assert!(told(&image("api"), "- a\n").contains("no keys at its top"));
    assert!(told(&image("api"), "a: 1\n---\nb: 1\n").contains("several documents"));
    assert!(told(&image("api"), "a: [\n").contains("no YAML"));
    assert!(told(&value("a.b", "c"), "a: text\n").contains("a.b: what a has"));
    assert!(told(&value("a", "c"), "a: {b: 1}\n").contains("one value"));
    assert!(told(&value("a", "c"), "a: |\n  text\n").contains("several lines"));
    assert!(told(&value("a.3.b", "c"), "a: [{b: 1}]\n").contains("a.3.b"));
}

fn a_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("images:"),
        Just("- name: api"),
        Just("  newTag: v1"),
        Just("  digest: x # y"),
        Just("image: {tag: v1}"),
        Just("image:"),
        Just("  tag: 'v1'"),
        Just("# words"),
        Just(""),
        Just("  tag: &a |"),
        Just("    text"),
        Just("other: [1, {a: b}]"),
        Just("? x"),
        Just("---"),
    ];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// Whatever is in a file: it is changed to what was meant, and to that alone, or it is left alone.
    #[test]
    fn nothing_else_is_ever_changed(text in a_text()) {
        for edit in [image("api"), value("image.tag", "v2")] {
            let Ok(new) = apply(&edit, &text) else { continue };
            let twice = apply(&edit, &new);
            prop_assert_eq!(twice.as_ref(), Ok(&new));
            let said: Value = read(&new).unwrap();
            let is_there = match &edit {
                Edit::Kustomize(_) => said["images"].as_array().unwrap().iter().any(|one| one["digest"] == DIGEST),
                Edit::Values(_) => said["image"]["tag"] == "v2",
            };
            prop_assert!(is_there);
        }
    }
}
