//! What other systems are shown of a Release: its quality report, in the body of the question. No I/O.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::Draft;
use super::history::Entry;
use crate::analysis::api::provider::Provider;
use crate::release::report::{Records, report};

/// Largest list of reports, in bytes.
const MAX: usize = 256 << 10;
/// Lists of a report that are left out, one after the other, where it is too large.
const SPARE: [&str; 4] = ["changes", "trend", "promotions", "attestations"];
/// Where it stands in the body.
const FIELD: &str = "evidence";

impl<'a> Draft<'a> {
    /// Adds the reports of what a promotion brings to the body of a request.
    ///
    /// # Errors
    /// Why there are none, or they cannot be added.
    pub(super) fn add_dossier(
        &self,
        entry: &Entry<'a>,
        provider: &mut Provider,
    ) -> Result<(), String> {
        let reports = self.reports(entry)?;
        let web = provider.web.as_mut();
        let web = web.ok_or("there is no request to add it to")?;
        web.body = Some(with_reports(web.body.as_deref(), reports)?);
        Ok(())
    }

    /// One report of each Release. It is the same until a record changes: of when the promotion was made.
    fn reports(&self, entry: &Entry<'a>) -> Result<Vec<Value>, String> {
        let known = self.seen.dossier.as_ref();
        let known = known.ok_or("the records of the Release are not known yet")?;
        let members = &entry.record.spec.members;
        let mut names: Vec<&str> = members.iter().map(|one| one.release.as_str()).collect();
        if names.is_empty() {
            names.push(entry.release());
        }
        let of = |name: &str| {
            let mut releases = known.releases.iter();
            let release = releases.find(|one| one.name_any() == name);
            let release = release.ok_or_else(|| format!("there is no Release {name}"))?;
            let mut runs = known.runs.iter();
            let records = Records {
                release,
                releases: &known.releases,
                run: runs.find(|run| run.name_any() == release.spec.evidence.run),
                promotions: &known.promotions,
                environments: &known.environments,
            };
            let report = report(&records, entry.record.created_at);
            serde_json::to_value(report).map_err(|error| error.to_string())
        };
        names.into_iter().map(of).collect()
    }
}

/// The body with the reports in it.
fn with_reports(body: Option<&str>, mut reports: Vec<Value>) -> Result<String, String> {
    let mut text = written(&reports);
    for spare in SPARE {
        if text.len() <= MAX {
            break;
        }
        for report in reports.iter_mut().filter_map(Value::as_object_mut) {
            let is_there = report.remove(spare).is_some();
            let left_out = report.entry("leftOut").or_insert_with(|| json!([]));
            if let Some(all) = left_out.as_array_mut().filter(|_| is_there) {
                all.push(json!(spare));
            }
        }
        text = written(&reports);
    }
    if text.len() > MAX {
        return Err("the reports are larger than 256 KiB".to_owned());
    }
    let body = body.unwrap_or("{}").trim();
    let read: Result<Value, _> = serde_json::from_str(body);
    let fields = read.ok();
    let fields = fields.as_ref().and_then(Value::as_object);
    let fields = fields.ok_or("web.body is no JSON object; write one, or leave it out")?;
    if fields.contains_key(FIELD) {
        return Err("web.body has a field evidence of its own; take it out".to_owned());
    }
    // What people wrote stays as it is: something may still be filled in there.
    let rest = body.strip_prefix('{').unwrap_or_default();
    let comma = if fields.is_empty() { "" } else { "," };
    Ok(format!("{{\"{FIELD}\":{text}{comma}{rest}"))
}

/// As JSON in which nothing is filled in: what people wrote into commits may look like what stands for a secret.
fn written(reports: &[Value]) -> String {
    json!(reports).to_string().replace('~', "\\u007e")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::observed::GATE;
    use crate::environment::testing::{NS, World};
    use crate::environment::{observe, plan};
    use crate::model::action::{Action, Request};
    use crate::model::key::Key;

    fn asked(world: &World) -> Option<Request> {
        let key = Key::new(NS, "production");
        let environment = world.caches.environments.get(&key).unwrap();
        let seen = observe::cached(&environment, &world.caches);
        let plan = plan::plan(&seen, world.now);
        plan.actions.into_iter().find_map(|action| match action {
            Action::Fetch { key, request } if key.starts_with(GATE) => Some(request),
            _ => None,
        })
    }

    fn shop(web: &Value) -> World {
        let mut world = World::shop();
        let mut gate = json!({
            "name": "change", "evidence": true, "pass": "value == 'approved'",
            "web": {"url": "https://itsm.example/changes", "method": "POST", "path": "$.state"},
        });
        json_patch::merge(&mut gate, &json!({"web": web}));
        world.edit(
            "production",
            &json!({"protection": {"gates": [gate], "approvals": null}}),
        );
        let hostile = json!({"sha": "b".repeat(40), "author": "a", "email": "a@b", "committedAt": world.now.to_string(),
                             "subject": "pay ~secret~itsm~token~ {{release.name}}"});
        world.release_of(1, &json!({"version": "1.3.0", "changes": [hostile]}));
        world
    }

    #[test]
    fn a_change_is_asked_for_with_the_report_of_the_release() {
        let body = r#"{"title": "{{release.name}} to {{environment}}"}"#;
        let mut world = shop(&json!({"body": body}));
        world.settle();
        world.tick(61);
        let request = asked(&world).unwrap();
        let text = request.body.unwrap();
        assert!(
            !text.contains('~'),
            "nothing of it can be filled in: {text}"
        );
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["title"], "shop-1 to production");
        let report = &body["evidence"][0];
        assert_eq!(report["schema"], "slipway.dev/quality-report/v1");
        assert_eq!(report["release"]["name"], "shop-1");
        assert_eq!(
            report["changes"][0]["subject"],
            "pay ~secret~itsm~token~ {{release.name}}"
        );
        let mut promotions = report["promotions"].as_array().unwrap().iter();
        let before = promotions.find(|one| one["environment"] == "staging");
        assert_eq!(before.unwrap()["phase"], "Succeeded");
        // A question that takes its time is the same question.
        world.tick(1);
        assert_eq!(asked(&world).unwrap().body, Some(text));

        world
            .others
            .insert("change".into(), json!({"state": "approved"}));
        world.settle();
        assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
        assert_eq!(asked(&world), None);
    }

    #[test]
    fn without_a_body_it_is_all_there_is_and_what_is_no_object_is_refused() {
        let mut world = shop(&json!({}));
        world.settle();
        world.tick(61);
        let body: Value = serde_json::from_str(&asked(&world).unwrap().body.unwrap()).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        let told = |body: &str| with_reports(Some(body), vec![json!({})]);
        assert!(told("[]").unwrap_err().contains("no JSON object"));
        assert!(
            told(r#"{"evidence": 1}"#)
                .unwrap_err()
                .contains("of its own")
        );
        assert_eq!(told("{}").unwrap(), r#"{"evidence":[{}]}"#);
        assert_eq!(
            told(r#" {"a": 1.50}"#).unwrap(),
            r#"{"evidence":[{}],"a": 1.50}"#
        );
    }

    #[test]
    fn what_is_too_large_is_left_out_by_name() {
        let long = vec!["x".repeat(1 << 10); 300];
        let report = json!({"schema": "s", "changes": long, "trend": ["t"]});
        let text = with_reports(None, vec![report]).unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            body,
            json!({"evidence": [{"schema": "s", "trend": ["t"], "leftOut": ["changes"]}]})
        );
        let report = json!({"gates": vec!["x".repeat(1 << 10); 300]});
        assert!(with_reports(None, vec![report]).is_err());
    }
}
