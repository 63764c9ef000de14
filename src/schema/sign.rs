//! Fragments about who signs. No I/O.

use schemars::Schema;

use super::{rule, set};

/// The name of a key in a key service, as cosign has them.
pub fn key_uri(schema: &mut Schema) {
    set(schema, "maxLength", 512);
    rule(
        schema,
        r"self.matches('^(awskms|gcpkms|azurekms|hashivault|openbao)://\\S+$')",
        "must begin with awskms://, gcpkms://, azurekms://, hashivault:// or openbao://; a private key in a Secret is keyRef",
    );
}

/// A pattern of subjects of certificates, which leaves open neither whose they are nor where.
pub fn subject_pattern(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 1024);
    rule(
        schema,
        r"self.matches('^([a-z]+://[^/*?\\s]+/[^/*?\\s]+/\\S+|\\*@[^@/*?\\s]+)$')",
        "must begin with a host and the first part of a path without wildcards, such as https://github.com/shop/*, or be *@ and a domain",
    );
}
