//! What is done about a mirror while its Environment goes, and how it is labelled.

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::model::place::Place;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn spec() -> EnvironmentSpec {
    let spec = json!({
        "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}},
        "cluster": {"kubeconfigSecretRef": {"name": "eu", "key": "kubeconfig"}},
    });
    serde_json::from_value(spec).unwrap()
}

fn place() -> Place {
    spec().cluster.unwrap().place("shop")
}

fn mirror(of: &str) -> State {
    State::Known(Some(Box::new(Live {
        target: crate::model::manifest::Target {
            kind: ObjectKind::Environment,
            key: Key::new("shop", "production"),
            uid: "u".to_owned(),
            resource_version: "1".to_owned(),
        },
        generation: 1,
        of: Some(of.to_owned()),
        is_going: false,
        vain: None,
        spec: mirrored(&spec()),
        status: EnvironmentStatus::default(),
    })))
}

/// What is done for an Environment that is being deleted, since so many seconds.
fn farewell(state: State, seconds: i64) -> Outlook {
    let key = Key::new("shop", "production");
    let record = MirrorStatus {
        leaving_since: (seconds > 0).then(|| Time(NOW - SignedDuration::from_secs(seconds))),
        ..MirrorStatus::at(&place())
    };
    let seen = Seen {
        target: None,
        left: Some(Sight {
            place: place(),
            state,
        }),
    };
    let of = Subject {
        key: &key,
        spec: &spec(),
        seen: &seen,
        record: Some(&record),
        is_deleted: true,
    };
    let told = Told {
        desired: &[],
        templates: &[],
        slos: &[],
        phase: EnvironmentPhase::Steady,
    };
    plan(of, &told, NOW)
}

fn is_over(outlook: &Outlook) -> bool {
    outlook.shown.record.is_none() && outlook.actions.is_empty()
}

#[test]
fn an_environment_that_goes_takes_its_mirror_along() {
    let outlook = farewell(mirror("shop.production"), 0);
    assert!(!is_over(&outlook));
    let [
        Action::Mirror {
            what: Mirroring::Remove(target),
            ..
        },
    ] = &outlook.actions[..]
    else {
        panic!("{outlook:?}")
    };
    assert_eq!(target.uid, "u");
    assert!(is_over(&farewell(State::Known(None), 5)));
    assert!(is_over(&farewell(mirror("shop.other"), 0)), "not its own");
}

#[test]
fn an_environment_that_goes_does_not_wait_for_ever_for_its_cluster() {
    let away = |trouble| State::Away(trouble, "nobody answers".to_owned());
    for state in [
        State::Unknown,
        away(Trouble::Unreachable),
        away(Trouble::Unauthorized),
    ] {
        let outlook = farewell(state.clone(), 0);
        assert!(!is_over(&outlook), "{state:?}");
        assert!(outlook.wake.is_some_and(|wake| wake > NOW));
        assert!(!is_over(&farewell(state.clone(), 299)), "{state:?}");
        let outlook = farewell(state, 300);
        assert!(is_over(&outlook));
        assert!(outlook.notice.unwrap().contains("its mirror is left in"));
    }
    let outlook = farewell(away(Trouble::NoKubeconfig), 0);
    assert!(is_over(&outlook), "the Secret went with the namespace");
    assert!(
        is_over(&farewell(mirror("shop.production"), 300)),
        "refused for five minutes"
    );
}

#[test]
fn a_label_is_never_too_long_and_tells_environments_apart() {
    assert_eq!(label_of(&Key::new("shop", "production")), "shop.production");
    let long = |end: &str| {
        label_of(&Key::new(
            "n".repeat(63),
            format!("e{}{end}", "e".repeat(40)),
        ))
    };
    assert!(long("a").len() <= MAX_LABEL);
    assert_ne!(long("a"), long("b"));
}
