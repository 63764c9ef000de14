//! Weights through ingress-nginx: renders and reads the second Ingress beside one of people's, for the canary. No I/O.
//!
//! Theirs leads to the stable Service and is never written. Ours has those of its rules that do, leads to the canary
//! Service, and says in annotations how much goes there. ingress-nginx reports nothing about them, so what is written
//! counts as taken in.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::division::{Division, Match};
use super::router::{Reading, Route, Router, Scene};
use crate::model::json::set;
use crate::model::key::{MAX_NAME, suffixed};
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::model::weight::Weight;
use crate::rollout::api;

/// On an Ingress: that it only takes its share of the requests of another one.
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
/// The share.
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// What the share is a share of: a hundred where it is left out.
const TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";
/// A header whose requests all go to the canary.
const HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
/// The value that it has then.
const HEADER_VALUE: &str = "nginx.ingress.kubernetes.io/canary-by-header-value";
/// A cookie whose requests all go to the canary.
const COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie";
/// The one value that a cookie can have for that.
const ALWAYS: &str = "always";
/// The controller that an Ingress is for, as it was said before `ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";
/// What annotations may have in them besides letters and digits; ingress-nginx ignores those with anything else.
const PLAIN: &str = "-._~/:";

/// An Ingress of people's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubled {
    /// Its name.
    pub name: String,
}

/// The routers of `spec.traffic.nginx`.
pub(super) fn routers(raw: &api::Nginx) -> impl Iterator<Item = Router> {
    let names = raw.ingresses.iter().cloned();
    names.map(|name| Router::Nginx(Doubled { name }))
}

/// What ingress-nginx cannot do.
pub(super) fn supports(division: &Division) -> Result<(), String> {
    if division.mirror > Weight::ZERO {
        return Err(
            "ingress-nginx copies all requests or none; use gatewayAPI or istio, or leave the step out"
                .to_owned(),
        );
    }
    let is_plain = |text: &str| {
        let is_known = |c: char| c.is_ascii_alphanumeric() || PLAIN.contains(c);
        !text.is_empty() && text.chars().all(is_known)
    };
    match division.route.as_slice() {
        [] => Ok(()),
        [Match::Header { name, value }] if is_plain(name) && is_plain(value) => Ok(()),
        [Match::Header { name, .. }] => Err(format!(
            "ingress-nginx takes no header {name} with this value: it may have letters, digits and any of {PLAIN}"
        )),
        [Match::Cookie { name, value }] if is_plain(name) && value == ALWAYS => Ok(()),
        [Match::Cookie { name, .. }] => Err(format!(
            "ingress-nginx tells cookies apart by one value only: let cookie {name} be {ALWAYS}"
        )),
        _ => Err(
            "ingress-nginx tells requests apart by one header or one cookie; leave the others out"
                .to_owned(),
        ),
    }
}

/// The annotations that say a division. What is null has to be absent.
fn annotations(division: &Division) -> Value {
    let mut all = json!({
        CANARY: "true", WEIGHT: division.weight.percent().to_string(), TOTAL: null,
        HEADER: null, HEADER_VALUE: null, COOKIE: null,
    });
    match division.route.first() {
        Some(Match::Header { name, value }) => {
            set(&mut all, &[HEADER], name.as_str());
            set(&mut all, &[HEADER_VALUE], value.as_str());
        }
        Some(Match::Cookie { name, .. }) => {
            set(&mut all, &[COOKIE], name.as_str());
        }
        None => {}
    }
    all
}

/// The patch of the Ingress of the canary that makes it divide like this.
pub(super) fn divided(division: &Division) -> Value {
    json!({"metadata": {"annotations": annotations(division)}})
}

impl Doubled {
    /// Name of the Ingress of the canary.
    pub(super) fn canary(&self, rollout: &str) -> String {
        suffixed(&format!("{}-{rollout}", self.name), "canary", MAX_NAME)
    }

    /// The Ingress of the canary. One of people's that happens to have its name is none.
    pub(super) fn find<'a>(&self, scene: &Scene<'a>) -> Option<&'a Route> {
        let ours = scene.find(ObjectKind::Ingress, &self.canary(scene.rollout))?;
        let rollout = ours.live.labels().get(label::ROLLOUT);
        (rollout.map(String::as_str) == Some(scene.rollout)).then_some(ours)
    }

    pub(super) fn read(&self, scene: &Scene) -> Result<Reading, String> {
        let ours = self.find(scene);
        let ours = ours.ok_or_else(|| "the Ingress of the canary is not there yet".to_owned())?;
        let annotation = |key: &str| ours.live.annotations().get(key).map(String::as_str);
        if annotation(CANARY) != Some("true") {
            let name = &ours.target.key.name;
            return Err(format!("Ingress {name} is no canary any more"));
        }
        let share = |text: &str, total: &str| {
            let (part, total): (i64, i64) = (text.parse().ok()?, total.parse().ok()?);
            Weight::share(part, total.checked_sub(part)?)
        };
        let weight = annotation(WEIGHT)
            .and_then(|text| share(text, annotation(TOTAL).unwrap_or("100")))
            .unwrap_or_default();
        let header = annotation(HEADER).map(|name| Match::Header {
            name: name.to_owned(),
            value: annotation(HEADER_VALUE).unwrap_or(ALWAYS).to_owned(),
        });
        let cookie = annotation(COOKIE).map(|name| Match::Cookie {
            name: name.to_owned(),
            value: ALWAYS.to_owned(),
        });
        Ok(Reading {
            division: Division {
                weight,
                route: header.into_iter().chain(cookie).collect(),
                mirror: Weight::ZERO,
            },
            is_even: true,
        })
    }

    /// What the Ingress of the canary says besides its metadata.
    pub(super) fn rendered(&self, scene: &Scene, division: &Division) -> Result<Value, String> {
        let theirs = scene.need(ObjectKind::Ingress, &self.name)?;
        let field = |name: &str| theirs.field(&format!("/spec/{name}")).cloned();
        let to_canary = |backend: &Value| to_canary(backend, scene);
        let rules: Vec<Value> = theirs
            .items("/spec/rules")
            .iter()
            .filter_map(|rule| narrowed(rule, to_canary))
            .collect();
        let default = theirs.field("/spec/defaultBackend").and_then(to_canary);
        if rules.is_empty() && default.is_none() {
            let (name, stable) = (&self.name, &scene.backends.stable);
            return Err(format!(
                "no path of Ingress {name} leads to the Service {stable}; let one do so"
            ));
        }
        let rules = (!rules.is_empty()).then_some(rules);
        let mut annotations = annotations(division);
        let class = field("ingressClassName");
        // The API server takes one of the two.
        let old_class = theirs.live.annotations().get(CLASS);
        let old_class = old_class.filter(|_| class.is_none());
        set(&mut annotations, &[CLASS], json!(old_class));
        Ok(json!({"metadata": {"annotations": annotations}, "spec": {
            "ingressClassName": class, "defaultBackend": default, "tls": field("tls"), "rules": rules,
        }}))
    }

    /// Whether the Ingress of people's still is one that a canary can stand beside.
    pub(super) fn acknowledged(&self, scene: &Scene) -> Result<bool, String> {
        self.rendered(scene, &Division::NONE).map(|_| true)
    }
}

/// Whether the live Ingress of the canary says what it has to. The server keeps no nulls.
pub(super) fn is_as_wanted(ours: &Route, rendered: &Value) -> bool {
    let live = json!(ours.live.metadata);
    let has = |live: Option<&Value>, wanted: Option<&Value>| {
        let mut fields = wanted.and_then(Value::as_object).into_iter().flatten();
        let live = |key: &str| live.and_then(|live| live.get(key)).unwrap_or(&Value::Null);
        fields.all(|(key, wanted)| live(key) == wanted)
    };
    has(
        live.get("annotations"),
        rendered.pointer("/metadata/annotations"),
    ) && has(ours.field("/spec"), rendered.get("spec"))
}

/// A backend with the canary Service instead of the stable one; `None` for one that leads elsewhere.
fn to_canary(backend: &Value, scene: &Scene) -> Option<Value> {
    let name = backend.pointer("/service/name").and_then(Value::as_str);
    let mut backend = (name == Some(&scene.backends.stable)).then(|| backend.clone())?;
    set(
        &mut backend,
        &["service", "name"],
        scene.backends.canary.as_str(),
    );
    Some(backend)
}

/// A rule with those of its paths that lead to the stable Service, leading to the canary's.
fn narrowed(rule: &Value, to_canary: impl Fn(&Value) -> Option<Value>) -> Option<Value> {
    let paths = rule.pointer("/http/paths").and_then(Value::as_array)?;
    let paths = paths.iter().filter_map(|path| {
        let backend = to_canary(path.get("backend")?)?;
        let mut path = path.clone();
        set(&mut path, &["backend"], backend);
        Some(path)
    });
    let paths: Vec<Value> = paths.collect();
    let mut rule = (!paths.is_empty()).then(|| rule.clone())?;
    set(&mut rule, &["http", "paths"], paths);
    Some(rule)
}

#[cfg(test)]
mod tests;
