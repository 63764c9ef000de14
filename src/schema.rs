//! Schema fragments that the kinds share: names, durations, digests, URLs, lists by name.
//!
//! Each function is a transform for `#[schemars(transform = …)]` on a field. Everything that a CEL rule
//! reads has a bound here, or the API server refuses the whole CRD for the cost of its rules.
//! A message says what to write instead, because it is all that a person sees. No I/O.

mod git;
mod pod;
mod sign;
mod tag;
mod time;

use kube::core::Rule;
use schemars::{Schema, transform::Transform};
use serde_json::{Value, json};

pub use git::*;
pub use pod::*;
pub use sign::*;
pub use tag::*;
pub use time::*;

/// Longest name of an object that people write: what is made from it still fits 63 characters.
pub const NAME_MAX: u32 = 52;

const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const RECORD_PATTERN: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
const REPOSITORY_PATTERN: &str = "^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$";

/// Declares an enum without data whose words are its variants: the same in YAML, events and metrics.
macro_rules! closed_set {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(
            serde::Serialize, serde::Deserialize,
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
        )]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word as it stands in YAML.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }
        }

        // By hand: the derive would put the description of the type over that of an optional field.
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$(stringify!($variant)),+] })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use closed_set;

/// Rule for the root of kinds that people name: leaves room for what is appended to the name.
pub fn short_name() -> Rule {
    Rule::new("self.metadata.name.size() <= 52")
        .message("metadata.name must be at most 52 characters, so that names made from it fit 63")
}

/// Rule for the root of records whose name becomes a label value.
pub fn label_name() -> Rule {
    Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters, so that it fits a label value")
}

/// Rules over a whole struct: CEL, and what a person is told when it does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules(pub &'static [(&'static str, &'static str)]);

impl Transform for Rules {
    fn transform(&mut self, schema: &mut Schema) {
        let rules = self
            .0
            .iter()
            .map(|(rule, message)| json!({ "rule": rule, "message": message }));
        set(schema, "x-kubernetes-validations", rules.collect::<Value>());
    }
}

fn set(schema: &mut Schema, key: &str, value: impl Into<Value>) {
    schema.insert(key.to_owned(), value.into());
}

fn set_items(schema: &mut Schema, apply: fn(&mut Schema)) {
    let mut items = schema
        .get("items")
        .cloned()
        .and_then(|items| Schema::try_from(items).ok())
        .unwrap_or_default();
    apply(&mut items);
    set(schema, "items", items.to_value());
}

fn rule(schema: &mut Schema, rule: &str, message: &str) {
    set(
        schema,
        "x-kubernetes-validations",
        json!([{ "rule": rule, "message": message }]),
    );
}

/// The name of an object that people write, or of an entry in a list.
pub fn name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", NAME_MAX);
    set(schema, "pattern", NAME_PATTERN);
}

/// The name of a record that the operator writes, or of an object that is not ours: longer, and dots are allowed.
pub fn record_name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 253);
    set(schema, "pattern", RECORD_PATTERN);
}

/// The name of an HTTP header.
pub fn header_name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    set(schema, "pattern", "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$");
}

/// The value of a header field.
pub fn header_value(schema: &mut Schema) {
    set(schema, "maxLength", 4096);
    set(schema, "pattern", r"^[^\x00-\x08\x0a-\x1f\x7f]*$");
}

/// A key in the data of a Secret.
pub fn data_key(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 253);
    set(schema, "pattern", "^[-._A-Za-z0-9]+$");
}

/// The name of a user, as HTTP sends it along with a password.
pub fn user_name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    set(schema, "pattern", "^[^:]+$");
}

/// The name of a host.
pub fn host(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 253);
    set(schema, "pattern", RECORD_PATTERN);
}

/// A region of Amazon's.
pub fn region(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 32);
    set(schema, "pattern", "^[a-z0-9-]+$");
}

/// The id of a query to CloudWatch.
pub fn cloud_watch_id(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 255);
    set(schema, "pattern", "^[a-z][a-zA-Z0-9_]*$");
}

/// A JSONPath that picks: it neither filters nor descends.
pub fn json_path(schema: &mut Schema) {
    set(schema, "maxLength", 256);
    rule(
        schema,
        "self.startsWith('$') && !self.contains('..') && !self.contains('?') && !self.contains('(')",
        "must be a JSONPath that begins with $ and has no filters or descents (?, ..), such as $.data[0].value",
    );
}

/// The name of a cookie.
pub fn cookie_name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 128);
    set(schema, "pattern", "^[A-Za-z0-9_-]+$");
}

/// The value of a cookie.
pub fn cookie_value(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    set(
        schema,
        "pattern",
        "^[A-Za-z0-9!#$%&'()*+./:<=>?@^_`{|}~-]+$",
    );
}

/// A list of at most `MAX` different names.
pub fn names<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, name);
    set(schema, "maxItems", MAX);
    set(schema, "x-kubernetes-list-type", "set");
}

/// A set of at most `MAX` names of objects that are not ours.
pub fn record_names<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, record_name);
    set(schema, "maxItems", MAX);
    set(schema, "x-kubernetes-list-type", "set");
}

/// A set of at most `MAX` words.
pub fn words<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxItems", MAX);
    set(schema, "x-kubernetes-list-type", "set");
}

/// A list of at most `MAX` objects that are told apart by `name`.
pub fn by_name<const MAX: u32>(schema: &mut Schema) {
    by_key(schema, "name", MAX);
}

/// A list of at most `MAX` objects that are told apart by `pipeline`.
pub fn by_pipeline<const MAX: u32>(schema: &mut Schema) {
    by_key(schema, "pipeline", MAX);
}

/// A list of at most `MAX` objects that are told apart by `key`.
pub fn by_entry_key<const MAX: u32>(schema: &mut Schema) {
    by_key(schema, "key", MAX);
}

/// A list of at most `MAX` objects that are told apart by `number`.
pub fn by_number<const MAX: u32>(schema: &mut Schema) {
    by_key(schema, "number", MAX);
}

/// A list of at most `MAX` objects that are told apart by `id`.
pub fn by_id<const MAX: u32>(schema: &mut Schema) {
    by_key(schema, "id", MAX);
}

/// Kubernetes conditions: a list that is merged by `type`, so that several writers do not collide.
pub fn conditions(schema: &mut Schema) {
    by_key(schema, "type", 16);
}

/// A list of at most `max` objects that are told apart by `key`.
pub fn by_key(schema: &mut Schema, key: &str, max: u32) {
    set(schema, "maxItems", max);
    set(schema, "x-kubernetes-list-type", "map");
    set(schema, "x-kubernetes-list-map-keys", json!([key]));
}

/// A plain list of at most `MAX` entries, replaced as a whole.
pub fn list<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxItems", MAX);
}

/// Text of at most `MAX` characters; may be empty.
pub fn text<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxLength", MAX);
}

/// Text of 1 to `MAX` characters.
pub fn some_text<const MAX: u32>(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", MAX);
}

/// A list of at most `ITEMS` texts of 1 to `MAX` characters.
pub fn texts<const ITEMS: u32, const MAX: u32>(schema: &mut Schema) {
    set_items(schema, some_text::<MAX>);
    set(schema, "maxItems", ITEMS);
}

/// A map of at most `MAX` texts of at most 4096 characters.
pub fn text_map<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxProperties", MAX);
    set(
        schema,
        "additionalProperties",
        json!({ "type": "string", "maxLength": 4096 }),
    );
}

/// The same, with at least one text.
pub fn some_text_map<const MAX: u32>(schema: &mut Schema) {
    text_map::<MAX>(schema);
    set(schema, "minProperties", 1);
}

/// The axes of a matrix: 1 to 6, with 1 to 64 values each.
pub fn axes(schema: &mut Schema) {
    set(schema, "minProperties", 1);
    set(schema, "maxProperties", 6);
    let value = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
    let values = json!({ "type": "array", "items": value, "minItems": 1, "maxItems": 64 });
    set(schema, "additionalProperties", values);
}

/// A list of at most `MAX` combinations of values of axes.
pub fn axis_values<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxItems", MAX);
    let value = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
    let values = json!({
        "type": "object", "additionalProperties": value, "minProperties": 1, "maxProperties": 6,
    });
    set(schema, "items", values);
}

/// A map of at most `MAX` images.
pub fn images<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxProperties", MAX);
    let image = json!({ "type": "string", "minLength": 1, "maxLength": 512, "pattern": r"^\S+$" });
    set(schema, "additionalProperties", image);
}

/// A duration as Go writes it, above zero.
pub fn duration(schema: &mut Schema) {
    set(schema, "maxLength", 32);
    rule(
        schema,
        r"self.matches('^([0-9]{1,6}(\\.[0-9]{1,3})?(ms|s|m|h))+$') && duration(self) > duration('0s')",
        "must be a duration above zero, such as 30s, 5m or 1h30m (days are written in hours)",
    );
}

/// The digest of an image.
pub fn digest(schema: &mut Schema) {
    set(schema, "maxLength", 71);
    rule(
        schema,
        "self.matches('^sha256:[0-9a-f]{64}$')",
        "must be a digest: sha256: and 64 characters 0-9 a-f",
    );
}

/// An image without tag or digest.
pub fn repository(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 255);
    rule(
        schema,
        &format!("self.matches('{REPOSITORY_PATTERN}')"),
        "must be a registry and a repository without tag or digest, such as registry.example/shop/api",
    );
}

/// A set of at most `MAX` images without tag or digest, where the cost of a rule would count for every entry.
pub fn repositories<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, |item| {
        set(item, "maxLength", 255);
        set(item, "pattern", REPOSITORY_PATTERN);
    });
    words::<MAX>(schema);
}

/// An image pinned by digest.
pub fn pinned_image(schema: &mut Schema) {
    set(schema, "maxLength", 512);
    rule(
        schema,
        "self.matches('^[^@ ]+@sha256:[0-9a-f]{64}$')",
        "must be an image pinned by digest, such as registry.example/shop/api@sha256:…",
    );
}

/// An image as a pod names it.
pub fn image(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 512);
    set(schema, "pattern", r"^\S+$");
}

/// A URL for HTTP.
pub fn http_url(schema: &mut Schema) {
    set(schema, "maxLength", 1024);
    rule(
        schema,
        r"self.matches('^https?://[^/\\s@]+(/\\S*)?$')",
        "must be an http:// or https:// URL without user or password",
    );
}

/// A URL for HTTP with TLS.
pub fn https_url(schema: &mut Schema) {
    set(schema, "maxLength", 1024);
    set(schema, "pattern", r"^https://[^/\s@]+(/\S*)?$");
}

/// A file or folder inside the repository.
pub fn path(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    rule(
        schema,
        r"!self.startsWith('/') && !self.matches('(^|/)\\.\\.(/|$)')",
        "must be a path inside the repository: relative, and without ..",
    );
}

/// A list of at most `MAX` paths (or globs) inside the repository.
pub fn paths<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, path);
    set(schema, "maxItems", MAX);
}

/// The name of an environment variable.
pub fn variable_name(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 128);
    set(schema, "pattern", "^[A-Za-z_][A-Za-z0-9_]*$");
}

/// A map of at most `MAX` entries.
pub fn few<const MAX: u32>(schema: &mut Schema) {
    set(schema, "maxProperties", MAX);
}

/// An object that is passed on as it is, so that fields newer than this operator survive.
pub fn raw_object(schema: &mut Schema) {
    schema.remove("anyOf");
    set(schema, "type", "object");
    set(schema, "x-kubernetes-preserve-unknown-fields", true);
}

/// A list of at most `MAX` objects that are passed on as they are.
pub fn raw_objects<const MAX: u32>(schema: &mut Schema) {
    set(
        schema,
        "items",
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
    );
    set(schema, "maxItems", MAX);
}

/// A number of pods, or a percentage of them.
pub fn count_or_percent(schema: &mut Schema) {
    int_or_string(schema);
    rule(
        schema,
        "type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",
        "must be a number of pods or a percentage, such as 2 or 25%",
    );
}

/// The same in a list, where the cost of a rule would count for every entry: the message is the API server's own.
pub fn count_or_percent_of_many(schema: &mut Schema) {
    int_or_string(schema);
    set(schema, "minimum", 0);
    set(schema, "pattern", "^(100|[1-9]?[0-9])%$");
}

/// A port by number or name.
pub fn port_or_name(schema: &mut Schema) {
    int_or_string(schema);
    rule(
        schema,
        "type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$')",
        "must be a port number (1 to 65535) or the name of a port of the pods",
    );
}

fn int_or_string(schema: &mut Schema) {
    for key in ["type", "format", "anyOf", "oneOf", "$ref"] {
        schema.remove(key);
    }
    set(schema, "x-kubernetes-int-or-string", true);
}
