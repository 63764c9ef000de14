//! What keeps a build apart from its node: what the Pipeline asks for, as far as the operator allows it. Pure.

use crate::pipeline::api::{Build, Isolation};

/// The isolation of a build: never `Auto`. The error says what to change.
pub fn isolation(build: &Build, allowed: &[Isolation]) -> Result<Isolation, String> {
    let builder = build.builder();
    let mut possible = allowed.iter().copied().filter(|one| builder.has(*one));
    let wanted = build.isolation();
    let found = possible.find(|one| wanted == Isolation::Auto || wanted == *one);
    found.ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|one| one.as_str()).collect();
        let (what, names) = (builder.as_str(), names.join(", "));
        match wanted {
            Isolation::Auto => format!(
                "the operator allows none of the isolations of {what}: take another builder, or add one to its \
                 --build-isolation ({names})"
            ),
            Isolation::UserNamespace
            | Isolation::Rootless
            | Isolation::Privileged
            | Isolation::Chroot => format!(
                "the operator does not allow builds with isolation {wanted}: take Auto, or one of its \
                 --build-isolation ({names}) that {what} has"
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(build: &Value, allowed: &[Isolation]) -> Result<Isolation, String> {
        let mut whole = json!({"image": "registry.example/shop/api"});
        json_patch::merge(&mut whole, build);
        isolation(&serde_json::from_value(whole).unwrap(), allowed)
    }

    #[test]
    fn auto_is_the_first_that_the_operator_allows_and_the_builder_has() {
        let allowed = [
            Isolation::Chroot,
            Isolation::Rootless,
            Isolation::Privileged,
        ];
        let auto = asked(&json!({}), &allowed);
        assert_eq!(auto, Ok(Isolation::Rootless));
        let auto = asked(
            &json!({"builder": "Buildah", "isolation": "Auto"}),
            &allowed,
        );
        assert_eq!(auto, Ok(Isolation::Chroot));
        let none = asked(&json!({"builder": "Buildah"}), &[Isolation::Rootless]);
        assert!(none.unwrap_err().contains("--build-isolation (Rootless)"));
    }

    #[test]
    fn what_the_operator_does_not_allow_is_refused_with_what_it_does() {
        let privileged = json!({"isolation": "Privileged"});
        let allowed = [Isolation::Rootless, Isolation::Chroot];
        let said = asked(&privileged, &allowed).unwrap_err();
        assert!(said.contains("isolation Privileged"), "{said}");
        assert!(said.contains("(Rootless, Chroot)"), "{said}");
        assert_eq!(
            asked(&privileged, Isolation::ALL),
            Ok(Isolation::Privileged)
        );
        let nonsense = json!({"builder": "Buildah", "isolation": "Rootless"});
        assert!(asked(&nonsense, Isolation::ALL).is_err());
    }
}
