//! Weights through Traefik's own kinds: renders and reads TraefikServices of type `weighted`. No I/O.
//!
//! Traefik reports nothing about them, so what is written counts as taken in.

use serde_json::{Value, json};

use super::Side;
use super::division::Division;
use super::pair::Pair;
use super::router::{Backends, Reading, Route, Router, Scene};
use crate::model::object::ObjectKind;
use crate::model::weight::Weight;
use crate::rollout::api;

/// A TraefikService of people's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// Its name.
    pub name: String,
}

/// The routers of `spec.traffic.traefik`.
pub(super) fn routers(raw: &api::Traefik) -> impl Iterator<Item = Router> {
    let names = raw.services.iter().cloned();
    names.map(|name| Router::Traefik(Weighted { name }))
}

/// What Traefik's own kinds cannot do.
pub(super) fn supports(division: &Division) -> Result<(), String> {
    if !division.route.is_empty() {
        return Err(
            "a TraefikService cannot tell requests apart by what they have; lead to Traefik by \
                    spec.traffic.gatewayAPI instead, or leave the step out"
                .to_owned(),
        );
    }
    if division.mirror > Weight::ZERO {
        return Err(
            "a TraefikService of type weighted sends no copies; lead to Traefik by \
                    spec.traffic.gatewayAPI instead, or leave the step out"
                .to_owned(),
        );
    }
    Ok(())
}

impl Weighted {
    pub(super) fn read(&self, scene: &Scene) -> Result<Reading, String> {
        let service = scene.need(ObjectKind::TraefikService, &self.name)?;
        let weight = pair(service, scene).share().ok_or_else(|| {
            let (Self { name }, Backends { stable, canary }) = (self, scene.backends);
            format!(
                "TraefikService {name} does not lead to both {stable} and {canary} with some weight; name both in its \
                 spec.weighted.services, with weights 100 and 0"
            )
        })?;
        Ok(Reading {
            division: Division::of(weight),
            is_even: true,
        })
    }
}

/// The patch of a live TraefikService that makes it divide like this.
pub(super) fn divided(service: &Route, scene: &Scene, division: &Division) -> Value {
    let services = pair(service, scene).reweighted(division.weight);
    json!({"spec": {"weighted": {"services": services}}})
}

fn pair<'a>(
    service: &'a Route,
    scene: &'a Scene,
) -> Pair<'a, impl Fn(&Value) -> Option<Side> + use<'a>> {
    let own = service.target.key.namespace.as_str();
    // Of the same name there may be another TraefikService, or a Service elsewhere.
    let is_or_absent = move |one: &Value, key: &str, value: &str| {
        one.get(key).is_none_or(|live| live.as_str() == Some(value))
    };
    Pair {
        list: service.items("/spec/weighted/services"),
        side_of: move |one: &Value| {
            let is_service =
                is_or_absent(one, "kind", "Service") && is_or_absent(one, "namespace", own);
            let name = one.get("name").and_then(Value::as_str);
            scene.backends.side_of(name.filter(|_| is_service)?)
        },
        default: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::division::Match;
    use super::super::testing::{apply, backends, object, scene, weight};
    use super::*;

    const KIND: ObjectKind = ObjectKind::TraefikService;

    fn service(list: &Value) -> Value {
        json!({"spec": {"weighted": {"services": list, "sticky": {"cookie": {"name": "lb"}}}}})
    }

    /// Both Services, and others of which one has nearly the same name.
    fn whole(stable: u8, canary: u8) -> Value {
        service(&json!([
            {"name": "api-stable", "kind": "Service", "port": 80, "weight": stable, "passHostHeader": false},
            {"name": "api-canary", "port": 80, "weight": canary},
            {"name": "api-canary", "kind": "TraefikService", "weight": 7},
            {"name": "api-canary", "namespace": "elsewhere", "port": 80, "weight": 7},
        ]))
    }

    fn read(value: &Value) -> Result<Reading, String> {
        let (backends, routes) = (backends(), [object(KIND, "api", value)]);
        let name = "api".to_owned();
        Weighted { name }.read(&scene(&backends, &routes))
    }

    fn shifted(value: &Value, percent: i64) -> Value {
        let backends = backends();
        let route = object(KIND, "api", value);
        let division = Division::of(weight(percent));
        apply(value, &divided(&route, &scene(&backends, &[]), &division))
    }

    #[test]
    fn the_weights_of_both_services_are_driven_and_nothing_else() {
        let ten = shifted(&whole(100, 0), 10);
        insta::assert_json_snapshot!(ten);
        assert_eq!(read(&ten).unwrap().division, Division::of(weight(10)));
        let all = shifted(&ten, 100);
        assert_eq!(all, whole(0, 100));
        assert_eq!(read(&all).unwrap().division, Division::of(Weight::FULL));
        assert_eq!(shifted(&all, 0), whole(100, 0));
    }

    #[test]
    fn weights_of_another_scale_are_shares_all_the_same() {
        let list = json!([{"name": "api-stable", "weight": 3}, {"name": "api-canary"}]);
        let reading = read(&service(&list)).unwrap();
        assert_eq!(reading.division, Division::of(weight(25)));
    }

    #[test]
    fn what_does_not_lead_to_both_says_what_it_lacks() {
        let one = service(&json!([{"name": "api-stable", "weight": 3}]));
        let problem = read(&one).unwrap_err();
        assert!(
            problem.contains("both api-stable and api-canary"),
            "{problem}"
        );
        let mirroring = json!({"spec": {"mirroring": {"name": "api-stable"}}});
        assert!(read(&mirroring).is_err());
        let (backends, name) = (backends(), "api".to_owned());
        let missing = Weighted { name }.read(&scene(&backends, &[])).unwrap_err();
        assert!(missing.contains("no TraefikService api"), "{missing}");
    }

    #[test]
    fn routes_and_copies_are_refused() {
        let route = vec![Match::Header {
            name: "x-canary".into(),
            value: "yes".into(),
        }];
        let routed = Division {
            route,
            ..Division::NONE
        };
        let mirrored = Division {
            mirror: weight(10),
            ..Division::NONE
        };
        assert!(supports(&routed).unwrap_err().contains("gatewayAPI"));
        assert!(supports(&mirrored).unwrap_err().contains("no copies"));
        assert_eq!(supports(&Division::of(weight(10))), Ok(()));
    }
}
