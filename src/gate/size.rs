//! The gate on size: no image and no package larger than so much. No I/O.

use super::{Check, Scope};
use crate::pipeline::api::SizeGate;
use crate::pipeline_run::api::Artifact;

/// Holds what was made against the limit.
pub fn check(limit: &SizeGate, scope: &Scope<'_>) -> Check {
    let threshold = format!("at most {}", limit.max);
    let (Some(max), Some(sizes)) = (limit.max_bytes(), all(scope)) else {
        let unknown = scope.made.iter().find(|artifact| artifact.size.is_none());
        let message = match unknown {
            Some(Artifact { name, .. }) => {
                format!("the size of {name} is not known: its registry did not tell")
            }
            None => "no stage has pushed an image or a package; see pushOn".to_owned(),
        };
        return Check::no_data(threshold, message);
    };
    let made = scope.made.iter().zip(sizes);
    let largest = made.max_by_key(|(_, size)| *size);
    let Some((artifact, size)) = largest else {
        return Check::no_data(threshold, "nothing was made");
    };
    let measured = format!("{} has {}", artifact.name, people(size));
    let bad = (size > max).then(|| {
        format!(
            "{measured}, accepted: {}; take out what it does not need",
            limit.max
        )
    });
    Check::measured(measured, threshold, bad)
}

/// Sizes of all that was made, in bytes; nothing where nothing was, or one of them is not known.
pub(super) fn all(scope: &Scope<'_>) -> Option<Vec<u64>> {
    let sizes: Option<Vec<u64>> = scope.made.iter().map(|artifact| artifact.size).collect();
    sizes.filter(|sizes| !sizes.is_empty())
}

/// A size as people read it, cut to a tenth.
fn people(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fits = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = fits else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Finding;
    use crate::pipeline_run::api::ArtifactKind;

    fn image(name: &str, size: Option<u64>) -> Artifact {
        Artifact {
            name: name.into(),
            kind: ArtifactKind::Image,
            reference: format!("registry.example/{name}"),
            digest: format!("sha256:{}", "a".repeat(64)),
            size,
            version: None,
        }
    }

    fn checked(made: &[Artifact]) -> Check {
        let scope = Scope {
            made: made.iter().collect(),
            ..Scope::default()
        };
        check(&SizeGate { max: "10Mi".into() }, &scope)
    }

    #[test]
    fn the_largest_counts() {
        let good = checked(&[image("api", Some(10 << 20)), image("web", Some(1))]);
        assert_eq!(good.finding, Finding::Good);
        assert_eq!(good.measured.as_deref(), Some("api has 10.0 MiB"));
        let bad = checked(&[image("web", Some(1)), image("api", Some((10 << 20) + 1))]);
        assert!(
            matches!(bad.finding, Finding::Bad(said) if said.starts_with("api has 10.0 MiB, accepted: 10Mi"))
        );
    }

    #[test]
    fn what_is_not_known_does_not_pass() {
        let unknown = checked(&[image("api", Some(1)), image("web", None)]);
        assert!(matches!(unknown.finding, Finding::NoData(said) if said.contains("web")));
        assert!(matches!(checked(&[]).finding, Finding::NoData(said) if said.contains("pushOn")));
    }

    #[test]
    fn sizes_are_cut_to_a_tenth() {
        assert_eq!(people(999), "999 bytes");
        assert_eq!(people(1536), "1.5 KiB");
        assert_eq!(people(u64::MAX), "17179869183.9 GiB");
    }
}
