//! Fragments about what is in pods. No I/O.

use schemars::Schema;

use super::{rule, set, set_items, variable_name};

/// A set of at most `MAX` names of environment variables.
pub fn variable_names<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, variable_name);
    set(schema, "maxItems", MAX);
    set(schema, "x-kubernetes-list-type", "set");
}

/// The path of a page.
pub fn url_path(schema: &mut Schema) {
    set(schema, "maxLength", 1024);
    set(schema, "pattern", r"^/\S*$");
}

/// A list of at most `MAX` folders of a container, or of the repository in it.
pub fn folders<const MAX: u32>(schema: &mut Schema) {
    set_items(schema, folder);
    set(schema, "maxItems", MAX);
    set(schema, "x-kubernetes-list-type", "set");
}

fn folder(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    rule(
        schema,
        r"!self.contains(':') && !self.endsWith('/') && !self.matches('(^|/)\\.\\.?(/|$)') && !self.matches('^/(workspace|slipway[^/]*|proc|sys|dev)(/|$)')",
        "must be a folder of the container or of the repository, such as /root/.cache/pip or node_modules: without : or .., without / at its end, and none of /workspace, /slipway, /proc, /sys and /dev",
    );
}

/// A number of bytes, as Kubernetes writes it with powers of two.
pub fn byte_quantity(schema: &mut Schema) {
    set(schema, "maxLength", 16);
    rule(
        schema,
        "self.matches('^[1-9][0-9]{0,11}(Ki|Mi|Gi|Ti)?$')",
        "must be a size in bytes, such as 500Mi or 2Gi",
    );
}
