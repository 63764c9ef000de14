//! The samples that are applied, filled in.

use anyhow::{Context, Result, ensure};

/// A sample with its placeholders filled in.
///
/// # Errors
///
/// It is not there, or has a placeholder that nothing fills.
pub(crate) fn sample(name: &str, values: &[(&str, String)]) -> Result<String> {
    let path = crate::repository_root()
        .join("manifests/samples/demo")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    fill(&text, values).with_context(|| format!("in {}", path.display()))
}

/// Puts values in the place of `${NAME}`; comments may name them too.
fn fill(text: &str, values: &[(&str, String)]) -> Result<String> {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("${{{name}}}"), value);
    }
    let left = filled
        .split_once("${")
        .map(|(_, rest)| rest.split('}').next().unwrap_or_default());
    ensure!(
        left.is_none(),
        "nothing fills ${{{}}}",
        left.unwrap_or_default()
    );
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_the_shells_variables_are_not() {
        let text = r#"image: "${REGISTRY}/app" # $REVISION, {{canary.pods}}"#;
        let filled = fill(text, &[("REGISTRY", "r:5000".to_owned())]).unwrap();
        assert_eq!(
            filled,
            r#"image: "r:5000/app" # $REVISION, {{canary.pods}}"#
        );
    }

    #[test]
    fn a_placeholder_that_nothing_fills_is_named() {
        let error = fill("${GATEWAY}", &[("REGISTRY", "r".to_owned())]).unwrap_err();
        assert_eq!(error.to_string(), "nothing fills ${GATEWAY}");
    }
}
