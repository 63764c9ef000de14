//! The gate on licences: every component is under one that is accepted. No I/O.
//!
//! Of a choice (`MIT OR GPL-2.0-only`) one has to be accepted, of what holds together (`AND`) all.

use spdx::expression::Expression;
use spdx::{LicenseItem, LicenseReq, ParseMode};

use super::waiver::Waivers;
use super::{Check, Scope, count};
use crate::pipeline::api::LicencesGate;
use crate::report::licence::UNKNOWN;

/// Licences that a message names.
const NAMED: usize = 5;

/// Holds the licences of components against the lists. A waiver names an expression as the run shows it.
pub fn check(
    limits: &LicencesGate,
    scope: &Scope<'_>,
    waivers: &Waivers<'_>,
    used: &mut Vec<String>,
) -> Check {
    let threshold = if limits.allow.is_empty() {
        format!("none of {}", limits.deny.join(", "))
    } else {
        format!("only {}", limits.allow.join(", "))
    };
    let (licences, unlisted) = (&scope.now.licences, scope.now.unlisted_licences);
    if licences.is_empty() && unlisted == 0 {
        let message = "no stage left a report with components in it; set reports.cyclonedx";
        return Check::no_data(threshold, message);
    }
    let mut refused = Vec::new();
    for (expression, number) in licences {
        if is_accepted(limits, expression) {
            continue;
        }
        match waivers.find(expression, "") {
            Some(sentence) => used.push(sentence),
            None => refused.push(format!("{expression} ({})", count(*number, "component"))),
        }
    }
    let measured = format!(
        "{} in {}",
        count(u32::try_from(licences.len()).unwrap_or(u32::MAX), "licence"),
        count(
            licences
                .values()
                .fold(unlisted, |sum, n| sum.saturating_add(*n)),
            "component"
        )
    );
    let bad = if !refused.is_empty() {
        let more = refused.len().saturating_sub(NAMED);
        refused.truncate(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Some(format!(
            "not accepted: {}{more}; replace what is under them",
            refused.join(", ")
        ))
    } else if unlisted > 0 {
        let unlisted = count(unlisted, "component");
        Some(format!(
            "{unlisted} have licences beyond the {} that can be listed: they were not judged; set from, with fewer stages",
            licences.len()
        ))
    } else {
        None
    };
    Check::measured(measured, threshold, bad)
}

fn is_accepted(limits: &LicencesGate, expression: &str) -> bool {
    if expression == UNKNOWN {
        return limits.allow_unknown.unwrap_or(false);
    }
    // Names that SPDX does not know stand for themselves.
    let mode = ParseMode {
        allow_unknown: true,
        ..ParseMode::LAX
    };
    match Expression::parse_mode(expression, mode) {
        Ok(parsed) => parsed.evaluate(|licence| is_one_accepted(limits, &id_of(licence))),
        // No expression: nobody can tell what in it goes together.
        Err(_) if limits.allow.is_empty() => {
            let text = expression.to_ascii_lowercase();
            let mut denied = limits.deny.iter();
            !denied.any(|denied| text.contains(&denied.to_ascii_lowercase()))
        }
        Err(_) => is_one_accepted(limits, expression),
    }
}

fn id_of(licence: &LicenseReq) -> String {
    match &licence.license {
        LicenseItem::Other(other) => other.lic_ref.clone(),
        known @ LicenseItem::Spdx { .. } => known.to_string().trim_end_matches('+').to_owned(),
    }
}

fn is_one_accepted(limits: &LicencesGate, id: &str) -> bool {
    let is = |known: &String| {
        known
            .trim_start_matches("LicenseRef-")
            .eq_ignore_ascii_case(id)
    };
    if limits.allow.is_empty() {
        !limits.deny.iter().any(is)
    } else {
        limits.allow.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(allow: &[&str], deny: &[&str]) -> LicencesGate {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        LicencesGate {
            allow: list(allow),
            deny: list(deny),
            allow_unknown: None,
        }
    }

    #[test]
    fn of_a_choice_one_has_to_be_accepted_and_of_what_holds_together_all() {
        let allow = gate(&["MIT", "Apache-2.0", "GPL-2.0-only"], &[]);
        for good in [
            "MIT",
            "mit",
            "MIT OR AGPL-3.0-only",
            "(MIT) AND (Apache-2.0)",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ] {
            assert!(is_accepted(&allow, good), "{good}");
        }
        for bad in [
            "AGPL-3.0-only",
            "MIT AND AGPL-3.0-only",
            "ours",
            UNKNOWN,
            "GPL-2.0-or-later",
            "",
        ] {
            assert!(!is_accepted(&allow, bad), "{bad}");
        }
    }

    #[test]
    fn what_is_denied_is_so_under_any_name() {
        let deny = gate(
            &[],
            &["AGPL-3.0-only", "AGPL-3.0-or-later", "Commons Clause"],
        );
        assert!(!is_accepted(&deny, "AGPL-3.0-only"));
        assert!(!is_accepted(&deny, "AGPL-3.0-or-later"));
        assert!(!is_accepted(&deny, "Commons Clause"));
        assert!(!is_accepted(&deny, "(BSD) AND (AGPL-3.0-only)"));
        assert!(!is_accepted(&deny, "MIT with Commons Clause, see LICENSE"));
        assert!(is_accepted(&deny, "AGPL-3.0-only OR MIT"));
        assert!(is_accepted(&deny, "BSD"));
        assert!(!is_accepted(&deny, UNKNOWN));
        let lax = LicencesGate {
            allow_unknown: Some(true),
            ..deny
        };
        assert!(is_accepted(&lax, UNKNOWN));
    }
}
