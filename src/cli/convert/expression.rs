//! Expressions of workflows, `${{ … }}`: in scripts they become environment variables, in conditions CEL. Only what is sure to
//! mean the same is taken. No I/O.

use std::collections::BTreeSet;

/// A script without expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// The script.
    pub(super) text: String,
    /// Secrets that it reads, by name.
    pub(super) secrets: BTreeSet<String>,
}

/// The name of an axis here: lower-case letters, digits and `_`.
pub(super) fn axis(name: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric();
    name.to_ascii_lowercase()
        .replace(|c: char| !is_fine(c), "_")
}

/// A script in which each expression is a variable; the first expression that cannot be one.
pub(super) fn script(text: &str) -> Result<Script, String> {
    let mut made = Script::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (inner, after) = after.split_once("}}").ok_or("${{ without }}")?;
        let inner = inner.trim();
        made.text.push_str(before);
        let variable = variable(inner).ok_or_else(|| inner.to_owned())?;
        if let Some(secret) = inner.strip_prefix("secrets.") {
            made.secrets.insert(secret.to_owned());
        }
        made.text.extend(["${", &variable, "}"]);
        rest = after;
    }
    made.text.push_str(rest);
    Ok(made)
}

/// The name of a secret, of a value that is nothing else.
pub(super) fn secret(value: &str) -> Option<&str> {
    let inner = value.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    let name = inner.trim().strip_prefix("secrets.")?;
    is_name(name).then_some(name)
}

/// The axis of a value that is nothing else.
pub(super) fn of_matrix(value: &str) -> Option<&str> {
    let inner = value.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    inner.trim().strip_prefix("matrix.")
}

fn variable(expression: &str) -> Option<String> {
    let known = match expression {
        "github.sha" => "SLIPWAY_SHA",
        "github.ref" => "SLIPWAY_REF",
        "github.run_id" => "SLIPWAY_RUN",
        "github.job" => "SLIPWAY_STAGE",
        _ => "",
    };
    if !known.is_empty() {
        return Some(known.to_owned());
    }
    if let Some(name) = expression.strip_prefix("matrix.") {
        return Some(format!(
            "SLIPWAY_MATRIX_{}",
            axis(name).to_ascii_uppercase()
        ));
    }
    let prefixes = ["secrets.", "env.", "inputs.", "github.event.inputs."];
    let name = prefixes
        .iter()
        .find_map(|prefix| expression.strip_prefix(prefix))?;
    is_name(name).then(|| name.to_owned())
}

fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(is_fine)
}

/// What `if` of a job means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It runs whatever happened.
    Always,
    /// It runs where this CEL holds.
    When(String),
    /// It cannot be told.
    Unknown,
}

/// A condition, as far as every part of it is known.
pub(super) fn condition(text: &str) -> Condition {
    let text = text.trim();
    let text = text
        .strip_prefix("${{")
        .and_then(|text| text.strip_suffix("}}"))
        .unwrap_or(text);
    let text = text.trim();
    if text == "always()" {
        return Condition::Always;
    }
    let ors: Option<Vec<String>> = text.split("||").map(all_of).collect();
    match ors {
        Some(ors) => Condition::When(ors.join(" || ")),
        None => Condition::Unknown,
    }
}

fn all_of(text: &str) -> Option<String> {
    let parts: Option<Vec<String>> = text.split("&&").map(part).collect();
    Some(parts?.join(" && "))
}

fn part(text: &str) -> Option<String> {
    let text = text.trim();
    if text == "success()" {
        return Some("true".to_owned());
    }
    for (call, method) in [
        ("startsWith(", "startsWith"),
        ("endsWith(", "endsWith"),
        ("contains(", "contains"),
    ] {
        if let Some(inner) = text
            .strip_prefix(call)
            .and_then(|rest| rest.strip_suffix(')'))
        {
            let (subject, word) = inner.split_once(',')?;
            return Some(format!("{}.{method}({})", fact(subject)?, quoted(word)?));
        }
    }
    for operator in ["==", "!="] {
        if let Some((left, right)) = text.split_once(operator) {
            let left = fact(left)?;
            let right = if left == "event" {
                event(right)?
            } else {
                quoted(right)?
            };
            return Some(format!("{left} {operator} {right}"));
        }
    }
    None
}

fn fact(text: &str) -> Option<&'static str> {
    match text.trim() {
        "github.ref" => Some("ref"),
        "github.sha" => Some("sha"),
        "github.event_name" => Some("event"),
        "github.actor" => Some("actor"),
        _ => None,
    }
}

/// A text between single quotes, as both languages write it.
fn quoted(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let is_plain = !inner.contains(['\'', '\\', '\n']);
    is_plain.then(|| format!("'{inner}'"))
}

fn event(text: &str) -> Option<String> {
    match quoted(text)?.as_str() {
        "'push'" => Some("'Push'".to_owned()),
        "'workflow_dispatch'" => Some("'Manual'".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_in_scripts_are_variables() {
        let made =
            script("deploy ${{ github.sha }} ${{secrets.TOKEN}} \"${{ matrix.python-version }}\"")
                .unwrap();
        assert_eq!(
            made.text,
            "deploy ${SLIPWAY_SHA} ${TOKEN} \"${SLIPWAY_MATRIX_PYTHON_VERSION}\""
        );
        assert_eq!(made.secrets, BTreeSet::from(["TOKEN".to_owned()]));
        for other in [
            "${{ github.event.pull_request.title }}",
            "${{ hashFiles('a') }}",
            "${{ secrets.A || 'b' }}",
            "${{ x",
        ] {
            assert!(script(other).is_err(), "{other}");
        }
    }

    #[test]
    fn conditions_become_cel_where_all_of_them_is_known() {
        let when = |text: &str| Condition::When(text.to_owned());
        for (text, expected) in [
            ("always()", Condition::Always),
            (
                "github.ref == 'refs/heads/main' && github.event_name == 'push'",
                when("ref == 'refs/heads/main' && event == 'Push'"),
            ),
            (
                "${{ startsWith(github.ref, 'refs/tags/') }}",
                when("ref.startsWith('refs/tags/')"),
            ),
            ("github.event_name == 'pull_request'", Condition::Unknown),
            ("github.ref == 'a' || failure()", Condition::Unknown),
            ("github.ref == 'it''s'", Condition::Unknown),
        ] {
            assert_eq!(condition(text), expected, "{text}");
        }
    }
}
