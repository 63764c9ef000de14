//! What was found about the images of a Release, beside what the Release has on record. No I/O.

use serde::Serialize;

use crate::cli::answer::End;
use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::pipeline_run::api::AttestationKind;
use crate::release::api::{Evidence, Image};
use crate::supply::finding::Found;

/// Characters of a fingerprint that people read.
const SHORT: usize = 19;

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    /// Its name.
    pub(super) image: String,
    /// Repository and digest.
    #[serde(rename = "ref")]
    pub(super) reference: String,
    /// Why nothing is known, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// What is said of it, each kind once.
    pub(super) statements: Vec<Said>,
    /// Why signatures in the name of identities do not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) others: Vec<String>,
}

/// One kind of statement about an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    /// Its kind.
    pub(super) kind: AttestationKind,
    /// Whether the Release has one on record.
    pub(super) recorded: bool,
    /// Who has signed one that was found, and checked: fingerprints of keys, and identities with their issuers.
    pub(super) signed_by: Vec<String>,
    /// Whether one is wanted.
    pub(super) wanted: bool,
}

impl Verdict {
    /// Whether all that is wanted is there.
    fn is_good(&self) -> bool {
        let holds = |said: &Said| !said.wanted || !said.signed_by.is_empty();
        self.problem.is_none() && self.statements.iter().all(holds)
    }
}

/// Judges an image by what is on record, what is wanted, and what was found; nothing was, where no registry was asked.
pub(super) fn judge(
    image: &Image,
    evidence: &Evidence,
    wanted: &[AttestationKind],
    found: Option<Result<Found, String>>,
) -> Verdict {
    let (found, problem) = match found.transpose() {
        Ok(found) => (found.unwrap_or_default(), None),
        Err(problem) => (Found::default(), Some(problem)),
    };
    let said = |kind: &AttestationKind| {
        let mut records = evidence.attestations.iter();
        let signed = found.signed.iter().filter(|one| one.kind == *kind);
        let mut signed_by: Vec<String> = signed.map(|one| one.by.clone()).collect();
        signed_by.sort();
        signed_by.dedup();
        Said {
            kind: *kind,
            recorded: records.any(|one| one.image == image.name && one.kind == *kind),
            signed_by,
            wanted: wanted.contains(kind),
        }
    };
    Verdict {
        image: image.name.clone(),
        reference: format!("{}@{}", image.repository, image.digest),
        problem,
        statements: AttestationKind::ALL.iter().map(said).collect(),
        others: found.others,
    }
}

/// How a verb ends that has found this.
pub(super) fn end(verdicts: &[Verdict]) -> End {
    if verdicts.iter().any(|verdict| verdict.problem.is_some()) {
        End::Failed
    } else if verdicts.iter().all(Verdict::is_good) {
        End::Well
    } else {
        End::Bad
    }
}

/// For people.
pub(super) fn page(release: &str, verdicts: &[Verdict], palette: Palette) -> String {
    let mut text = format!("Release {}\n", palette.paint(Tone::Strong, release));
    if verdicts.is_empty() {
        text.push_str("  it has no images\n");
        return text;
    }
    let headings = ["IMAGE", "STATEMENT", "RESULT", "ON RECORD", "SIGNED BY"];
    let mut table = Table::new(&headings, &[]);
    for verdict in verdicts {
        table.rows(verdict.statements.iter().map(|said| {
            let (tone, result) = result(verdict, said);
            let recorded = if said.recorded { "yes" } else { "no" };
            let keys: Vec<String> = said.signed_by.iter().map(|by| short(by)).collect();
            [
                verdict.image.as_str().into(),
                said.kind.as_str().into(),
                Cell::new(tone, result),
                recorded.into(),
                keys.join(", ").into(),
            ]
        }));
    }
    text.push_str(&table.text(palette));
    let unknown = verdicts.iter().filter_map(|verdict| {
        let problem = verdict.problem.as_ref()?;
        let name = &verdict.image;
        Some(format!(
            "  {name}: it is not known who signed it: {problem}\n"
        ))
    });
    text.extend(unknown);
    let others = verdicts.iter().flat_map(|verdict| {
        let name = &verdict.image;
        let others = verdict.others.iter();
        others.map(move |other| format!("  {name}: {other}\n"))
    });
    text.extend(others);
    text
}

/// Who has signed: enough of a fingerprint, and the whole of an identity.
fn short(by: &str) -> String {
    if by.starts_with("sha256:") {
        return by.chars().take(SHORT).collect();
    }
    by.to_owned()
}

fn result(verdict: &Verdict, said: &Said) -> (Tone, &'static str) {
    match (&verdict.problem, said.wanted, said.signed_by.is_empty()) {
        (Some(_), _, _) => (Tone::Bad, "not known"),
        (None, _, false) => (Tone::Good, "signed"),
        (None, true, true) => (Tone::Bad, "missing"),
        (None, false, true) => (Tone::Faint, "not checked"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::supply::finding::Finding;

    fn signed(signed: Vec<Finding>) -> Found {
        Found {
            signed,
            ..Found::default()
        }
    }

    fn image(name: &str) -> Image {
        let image = json!({"name": name, "repository": format!("r.example/{name}"), "digest": format!("sha256:{}", "9".repeat(64))});
        serde_json::from_value(image).unwrap()
    }

    fn evidence() -> Evidence {
        let evidence = json!({"run": "shop-7", "attestations": [
            {"image": "api", "kind": "Signature", "digest": format!("sha256:{}", "a".repeat(64))},
            {"image": "api", "kind": "SBOM", "digest": format!("sha256:{}", "b".repeat(64))}]});
        serde_json::from_value(evidence).unwrap()
    }

    fn found(kind: AttestationKind) -> Finding {
        Finding {
            kind,
            by: format!("sha256:{}", "c".repeat(64)),
            artifact: format!("sha256:{}", "a".repeat(64)),
        }
    }

    const WANTED: &[AttestationKind] = &[AttestationKind::Signature, AttestationKind::Provenance];

    #[test]
    fn what_is_wanted_and_not_signed_is_missing_whatever_is_on_record() {
        let one = signed(vec![found(AttestationKind::Signature)]);
        let verdicts = [
            judge(&image("api"), &evidence(), WANTED, Some(Ok(one))),
            judge(
                &image("web"),
                &evidence(),
                WANTED,
                Some(Ok(Found::default())),
            ),
        ];
        insta::assert_snapshot!(page("shop-1", &verdicts, Palette::new(false)));
        assert_eq!(end(&verdicts), End::Bad);
        let kinds = WANTED.iter().copied().map(found).collect();
        let good = judge(&image("api"), &evidence(), WANTED, Some(Ok(signed(kinds))));
        assert_eq!(end(&[good]), End::Well);
    }

    #[test]
    fn an_identity_is_shown_whole_and_so_is_who_does_not_count() {
        let mut by = found(AttestationKind::Signature);
        by.by = "https://kubernetes.io/namespaces/shop/serviceaccounts/signer (https://k.example)"
            .into();
        let found = Found {
            signed: vec![by.clone()],
            others: vec!["one is by somebody, which is none of the identities".into()],
        };
        let verdict = judge(&image("api"), &evidence(), WANTED, Some(Ok(found)));
        let page = page("shop-1", &[verdict], Palette::new(false));
        assert!(page.contains(&by.by), "{page}");
        assert!(page.contains("  api: one is by somebody"), "{page}");
    }

    #[test]
    fn a_registry_that_does_not_answer_is_no_answer() {
        let silent = Some(Err("no answer".to_owned()));
        let verdicts = [judge(&image("api"), &evidence(), WANTED, silent)];
        assert_eq!(end(&verdicts), End::Failed);
        let page = page("shop-1", &verdicts, Palette::new(false));
        assert!(
            page.contains("it is not known who signed it: no answer"),
            "{page}"
        );
    }

    #[test]
    fn the_record_alone_is_shown_and_checks_nothing() {
        let verdicts = [judge(&image("api"), &evidence(), &[], None)];
        assert_eq!(end(&verdicts), End::Well);
        let page = page("shop-1", &verdicts, Palette::new(false));
        assert!(page.contains("not checked"), "{page}");
        assert!(!page.contains("missing"), "{page}");
    }
}
