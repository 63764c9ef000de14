//! The parameters of a run: what may be asked for, and what is. Values reach scripts as environment variables, and nothing
//! else. No I/O.

use regex::{Regex, RegexBuilder};

use super::api::RunParam;
use crate::model::invalid::Invalid;
use crate::pipeline::api::Param;

/// Largest compiled pattern, in bytes: one that repeats repetitions is refused, and not tried.
const LARGEST: usize = 1 << 20;

/// Name and value of every parameter that has a value in this run.
///
/// # Errors
/// What is wrong with what the run asks for.
pub fn settle(
    params: &[Param],
    given: &[RunParam],
    by_hand: bool,
) -> Result<Vec<(String, String)>, Vec<Invalid>> {
    let mut problems = Vec::new();
    let mut values = Vec::new();
    for (index, asked) in given.iter().enumerate() {
        if !params.iter().any(|param| param.name == asked.name) {
            let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            let problem = format!(
                "the Pipeline has no parameter {}; it has {known}",
                asked.name
            );
            problems.push(Invalid::new(format!("spec.params[{index}].name"), problem));
        }
    }
    for param in params {
        let asked = given.iter().position(|asked| asked.name == param.name);
        let value = asked
            .and_then(|index| given.get(index))
            .map(|asked| &asked.value);
        if let (Some(index), Some(value)) = (asked, value)
            && let Err(problem) = check(param, value)
        {
            let path = format!("spec.params[{index}].value");
            problems.push(Invalid::new(path, problem));
        }
        match value.or(param.default.as_ref()) {
            Some(value) => values.push((param.name.clone(), value.clone())),
            None if by_hand => {
                let problem = format!("parameter {} has no default; give it a value", param.name);
                problems.push(Invalid::new("spec.params", problem));
            }
            None => {}
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

/// Whether a value may be given to a parameter; what is wrong with it. The value is not shown: it may be long.
pub fn check(param: &Param, value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err("has to be one line without control characters".to_owned());
    }
    let Some(text) = &param.pattern else {
        return Ok(());
    };
    if pattern(text)?.is_match(value) {
        Ok(())
    } else {
        Err(format!("has to match the pattern {text} as a whole"))
    }
}

/// A pattern, for whole values.
///
/// # Errors
/// Says why it cannot be used.
pub fn pattern(text: &str) -> Result<Regex, String> {
    // On its own first: a pattern that closes our bracket and opens another is none.
    let alone = RegexBuilder::new(text).size_limit(LARGEST).build();
    let whole = format!("^(?:{text})$");
    let built = alone.and_then(|_| RegexBuilder::new(&whole).size_limit(LARGEST).build());
    built.map_err(|error| {
        let error = error.to_string();
        let last = error.lines().rfind(|line| !line.trim().is_empty());
        format!(
            "is no regular expression: {}",
            last.unwrap_or_default().trim()
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::invalid::sentence;

    fn param(name: &str, default: Option<&str>, pattern: Option<&str>) -> Param {
        Param {
            name: name.into(),
            description: None,
            default: default.map(str::to_owned),
            pattern: pattern.map(str::to_owned),
        }
    }

    fn given(name: &str, value: &str) -> RunParam {
        RunParam {
            name: name.into(),
            value: value.into(),
        }
    }

    fn said(params: &[Param], asked: &[RunParam]) -> String {
        settle(params, asked, true).map_or_else(|problems| sentence(&problems), |_| String::new())
    }

    #[test]
    fn what_is_given_wins_over_the_default() {
        let params = [
            param("A", Some("1"), None),
            param("B", Some("2"), None),
            param("C", None, None),
        ];
        let values = settle(&params, &[given("B", "3")], false).unwrap();
        let expected = [("A", "1"), ("B", "3")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(values, expected, "without a value there is no variable");
    }

    #[test]
    fn by_hand_every_parameter_needs_a_value() {
        let params = [param("A", None, None)];
        assert!(said(&params, &[]).contains("parameter A has no default"));
        assert_eq!(said(&params, &[given("A", "")]), "", "which may be empty");
    }

    #[test]
    fn a_value_has_to_match_as_a_whole() {
        let params = [param("A", None, Some("debug|info"))];
        assert_eq!(said(&params, &[given("A", "info")]), "");
        for value in ["infos", "xdebug", "info\n", "", "$(id)"] {
            let said = said(&params, &[given("A", value)]);
            assert!(
                said.starts_with("spec.params[0].value: has to"),
                "{value}: {said}"
            );
        }
        assert!(pattern("a)|(b").is_err(), "which would match parts");
        assert!(
            pattern("(((a{1000}){1000}){1000})").is_err(),
            "which would take all memory"
        );
    }

    #[test]
    fn what_the_pipeline_does_not_offer_cannot_be_set() {
        let said = said(&[param("A", Some("1"), None)], &[given("PATH", "/tmp")]);
        assert_eq!(
            said,
            "spec.params[0].name: the Pipeline has no parameter PATH; it has A"
        );
    }

    proptest! {
        #[test]
        fn no_value_with_a_line_break_gets_through(value in ".{0,20}[\n\r\0].{0,20}") {
            prop_assert!(check(&param("A", None, Some("(?s).*")), &value).is_err());
        }
    }
}
