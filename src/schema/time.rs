//! Fragments about times by the clock on the wall. No I/O.

use schemars::Schema;

use super::{rule, set};

/// When something begins again and again.
pub fn cron(schema: &mut Schema) {
    set(schema, "maxLength", 128);
    rule(
        schema,
        r"self.matches('^[-0-9A-Za-z*,/#?]+( [-0-9A-Za-z*,/#?]+){4}$')",
        "must be five fields: minute, hour, day of the month, month, day of the week, such as 0 9 * * MON-FRI",
    );
}

/// The name of a time zone.
pub fn zone(schema: &mut Schema) {
    set(schema, "maxLength", 64);
    set(
        schema,
        "pattern",
        "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
    );
}
