//! Tags of images. No I/O.

use schemars::Schema;

use super::{rule, set};

/// An image with its registry and a tag.
pub fn tagged_image(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 383);
    rule(
        schema,
        "self.matches('^((localhost|[a-z0-9-]+([.][a-z0-9-]+)+)(:[0-9]+)?|[a-z0-9-]+:[0-9]+)(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$')",
        "must be an image with its registry and a tag, and without a digest, such as registry.example/base/python:3.12",
    );
}

/// A tag of an image.
pub fn tag(schema: &mut Schema) {
    set(schema, "maxLength", 128);
    rule(
        schema,
        "self.matches('^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$')",
        "must be a tag: letters, digits, dots, dashes and underscores, such as production",
    );
}
