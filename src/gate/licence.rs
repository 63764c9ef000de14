//! The gate on licences: every component is under one that is accepted. No I/O.
//!
//! Of a choice (`MIT OR GPL-2.0-only`) one has to be accepted, of what holds together (`AND`) all. What is denied is so under any
//! name that may mean it; what is allowed is so under names that mean nothing else.

use spdx::expression::{ExprNode, Expression, Operator};
use spdx::{LicenseItem, LicenseReq, ParseMode};

use super::waiver::Waivers;
use super::{Check, Scope, count};
use crate::pipeline::api::LicencesGate;
use crate::report::licence::UNKNOWN;

mod meaning;

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
        Ok(parsed) => holds(&parsed, expression, limits),
        // No expression: nobody can tell what in it goes together.
        Err(_) => is_one_accepted(limits, &[expression]),
    }
}

/// Evaluates an expression, whose terms come before what joins them.
fn holds(parsed: &Expression, expression: &str, limits: &LicencesGate) -> bool {
    let mut terms = Vec::new();
    for node in parsed.iter() {
        let value = match node {
            ExprNode::Req(term) => {
                let written = usize::try_from(term.span.start).ok();
                let written = written.zip(usize::try_from(term.span.end).ok());
                let written = written.and_then(|(start, end)| expression.get(start..end));
                let names = names(&term.req, written.unwrap_or(expression));
                is_one_accepted(
                    limits,
                    &names.iter().map(String::as_str).collect::<Vec<_>>(),
                )
            }
            ExprNode::Op(operator) => {
                let (Some(b), Some(a)) = (terms.pop(), terms.pop()) else {
                    return false;
                };
                match operator {
                    Operator::And => a && b,
                    Operator::Or => a || b,
                }
            }
        };
        terms.push(value);
    }
    terms.pop().unwrap_or(false)
}

/// What a licence is called: as it is written, where that is no id, and by the id that is taken for it. Of GNU's licences that
/// is no help, because the library guesses what is not said: `GPL` would be `GPL-2.0-only`.
fn names(licence: &LicenseReq, written: &str) -> Vec<String> {
    match &licence.license {
        LicenseItem::Other(other) => vec![other.lic_ref.clone()],
        LicenseItem::Spdx { id, or_later } => {
            // The library has taken the plus after one of GNU's into the id.
            let has_plus = *or_later || id.name.ends_with("-or-later");
            let later = if has_plus { "+" } else { "" };
            let is_id = spdx::license_id(written).is_some();
            let of_id = (is_id || !id.is_gnu()).then(|| id.name.to_owned());
            let as_written = (!is_id).then(|| format!("{written}{later}"));
            of_id.into_iter().chain(as_written).collect()
        }
    }
}

fn is_one_accepted(limits: &LicencesGate, names: &[&str]) -> bool {
    let is_any = |list: &[String], is: fn(&str, &str) -> bool| {
        let mut listed = list.iter();
        listed.any(|listed| names.iter().any(|name| is(name, listed)))
    };
    if limits.allow.is_empty() {
        !is_any(&limits.deny, meaning::may_be)
    } else {
        is_any(&limits.allow, meaning::is)
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
    fn an_old_id_is_allowed_as_the_one_that_it_means() {
        let allow = gate(&["GPL-2.0-only", "LGPL-2.1-or-later", "Apache-2.0"], &[]);
        for good in [
            "GPL-2.0",
            "GPLv2",
            "LGPL-2.1+",
            "Apache 2.0",
            "GPL-2.0 OR GPL-3.0",
        ] {
            assert!(is_accepted(&allow, good), "{good}");
        }
        for bad in ["GPL-2.0+", "GPL", "LGPL-2.1", "GPL v3", "GNU GPL v3"] {
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
        for other in [
            "AGPL-3.0",
            "AGPLv3",
            "AGPL-3.0+",
            "agpl-3.0-or-later",
            "MIT AND AGPL-3.0",
            "GNU Affero General Public License v3 or later (AGPLv3+)",
            "AGPL",
            "Commons-Clause",
        ] {
            assert!(!is_accepted(&deny, other), "{other}");
        }
        for other in [
            "MIT OR AGPL-3.0",
            "GPL-3.0",
            "LGPLv3",
            "GNU Lesser General Public License v3",
        ] {
            assert!(is_accepted(&deny, other), "{other}");
        }
        let lax = LicencesGate {
            allow_unknown: Some(true),
            ..deny
        };
        assert!(is_accepted(&lax, UNKNOWN));
    }
}
