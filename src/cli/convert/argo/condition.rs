//! Conditions of measurements: from expressions about `result` to CEL about `value`. No I/O.

/// What a condition becomes, and whether no data at all fulfils it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) holds_without_data: bool,
}

/// Ways to ask whether there is any result.
const NO_RESULT: &[&str] = &[
    "len(result) == 0",
    "len(result)==0",
    "result == nil",
    "isNil(result)",
];

/// Names that mean the same in both.
const KNOWN: &[&str] = &["value", "isNaN", "isInf", "true", "false"];

/// The same in CEL; nothing where it asks for more than one number.
pub(super) fn convert(condition: &str) -> Option<Condition> {
    let mut rest = condition.trim();
    let mut holds_without_data = false;
    for asked in NO_RESULT {
        let after = rest.strip_prefix(asked).map(str::trim_start);
        let after = after.and_then(|after| after.strip_prefix("||").or(after.strip_prefix("or ")));
        if let Some(after) = after {
            (rest, holds_without_data) = (after.trim(), true);
        }
    }
    let text = words(&rest.replace("result[0]", "value"));
    is_understood(&text).then_some(Condition {
        text,
        holds_without_data,
    })
}

/// Names and operators, word by word.
fn words(text: &str) -> String {
    let mut written = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let same = match word.as_str() {
            "result" => "value",
            "and" => "&&",
            "or" => "||",
            "not" => "!",
            other => other,
        };
        written.push_str(same);
        written.push(c);
        word.clear();
    }
    written.trim().replace("! ", "!")
}

/// Whether nothing but the number, numbers and comparisons are in it.
fn is_understood(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._()<>=!&|+-*/".contains(c);
    let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let mut names = names.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    text.chars().all(is_plain) && text.contains("value") && names.all(|name| KNOWN.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_number_is_the_same_about_value() {
        for (there, here, without) in [
            ("result[0] >= 0.95", "value >= 0.95", false),
            ("result < 500", "value < 500", false),
            ("len(result) == 0 || result[0] < 1", "value < 1", true),
            (
                "isNaN(result) or result > 5",
                "isNaN(value) || value > 5",
                false,
            ),
            ("not (result[0] == 0)", "!(value == 0)", false),
            ("result != 0", "value != 0", false),
        ] {
            let expected = Condition {
                text: here.to_owned(),
                holds_without_data: without,
            };
            assert_eq!(convert(there), Some(expected), "{there}");
        }
    }

    #[test]
    fn what_asks_for_more_is_left_to_people() {
        for there in [
            "result.ok && result.code == 200",
            "all(result, # < 1)",
            "result[1] > 0",
            "asFloat(result) > 1",
            "result == \"ok\"",
            "true",
        ] {
            assert_eq!(convert(there), None, "{there}");
        }
    }
}
