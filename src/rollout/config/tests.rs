//! Which places are found, what takes their place, and what is told.

use super::*;

/// A template that reads ConfigMaps and Secrets in every way in which that can be done.
fn template() -> Value {
    json!({"spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "settings"}},
            {"name": "b", "projected": {"sources": [
                {"configMap": {"name": "rules"}}, {"secret": {"name": "key"}},
                {"serviceAccountToken": {"path": "token"}},
            ]}},
            {"name": "c", "emptyDir": {}},
            {"name": "d", "secret": {"secretName": "tls"}},
        ],
        "initContainers": [{"envFrom": [
            {"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "start"}},
        ]}],
        "containers": [{"env": [
            {"name": "A", "value": "a"},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "b", "optional": true}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "password", "key": "c"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}],
        "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "debug"}}]}],
    }})
}

fn raw(configs: &Value) -> RolloutSpec {
    let spec = json!({
        "selector": {"matchLabels": {"app": "api"}}, "template": template(), "configs": configs,
    });
    serde_json::from_value(spec).unwrap()
}

fn map(value: &str) -> Source {
    Source::of_config_map(json!({"key": value}), Value::Null)
}

fn secret(uid: &str, value: &str) -> Source {
    Source::of_secret(uid, "Opaque", json!({"key": value}))
}

fn copied_by(configs: &Value, sources: &Sources) -> (Value, Vec<Snapshot>, Vec<String>) {
    let (mut template, mut problems) = (template(), Vec::new());
    let copies = copy(&mut template, &raw(configs), "api", sources, &mut problems);
    let lines = problems
        .iter()
        .map(|p| format!("{}: {}", p.path, p.problem))
        .collect();
    (template, copies, lines)
}

/// The name of the one copy of a source.
fn name_of(named: &Named, source: Source) -> String {
    let sources = Sources::from([(named.clone(), source)]);
    let (_, copies, _) = copied_by(&json!({}), &sources);
    assert_eq!(copies.len(), 1);
    copies[0].of.name.clone()
}

#[test]
fn what_is_copied_is_what_the_spec_says_of_what_the_template_reads() {
    let maps = ["flags", "rules", "settings"];
    let secrets = ["debug", "key", "password", "start", "tls"];
    let cases: &[(Value, &[&str], &[&str])] = &[
        (Value::Null, &maps, &[]),
        (json!({}), &maps, &[]),
        (json!({"secrets": "Live"}), &maps, &[]),
        (json!({"secrets": "Snapshot"}), &maps, &secrets),
        (json!({"configMaps": "Live"}), &[], &[]),
        (
            json!({"configMaps": "Live", "secrets": "Snapshot"}),
            &[],
            &secrets,
        ),
        (
            json!({"snapshotSecrets": ["tls", "key"]}),
            &maps,
            &["key", "tls"],
        ),
        (
            json!({"configMaps": "Live", "snapshotSecrets": ["tls"]}),
            &[],
            &["tls"],
        ),
        (
            json!({"configMaps": "Live", "snapshotSecrets": ["registry", "settings"]}),
            &[],
            &[],
        ),
    ];
    for (configs, maps, secrets) in cases {
        let found = copied(&raw(configs));
        let of = |kind| {
            let of_kind = found.iter().filter(move |named| named.kind == kind);
            of_kind.map(|named| named.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(ObjectKind::ConfigMap), *maps, "{configs}");
        assert_eq!(of(ObjectKind::Secret), *secrets, "{configs}");
    }
}

#[test]
fn a_copy_takes_the_place_of_every_reference_and_changes_its_name_with_its_content() {
    let sources = |value| Sources::from([(Named::config_map("settings"), map(value))]);
    let (one, copies, _) = copied_by(&json!({}), &sources("1"));
    let name = &copies[0].of.name;
    assert!(name.starts_with("api-settings-"), "{name}");
    assert_eq!(one["spec"]["volumes"][0]["configMap"]["name"], **name);
    let init = &one["spec"]["initContainers"][0]["envFrom"][0];
    assert_eq!(init["configMapRef"]["name"], **name);
    let projected = &one["spec"]["volumes"][1]["projected"]["sources"][0];
    assert_eq!(projected["configMap"]["name"], "rules");
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].content.copied()["immutable"], true);
    let (_, other, _) = copied_by(&json!({}), &sources("2"));
    assert_ne!(other[0].of.name, *name);
    assert_eq!(copied_by(&json!({}), &sources("1")).1, copies);
}

#[test]
fn every_place_that_reads_a_secret_reads_its_copy() {
    let places = [
        ("tls", "/spec/volumes/3/secret/secretName"),
        ("key", "/spec/volumes/1/projected/sources/1/secret/name"),
        ("start", "/spec/initContainers/0/envFrom/1/secretRef/name"),
        (
            "password",
            "/spec/containers/0/env/2/valueFrom/secretKeyRef/name",
        ),
        (
            "debug",
            "/spec/ephemeralContainers/0/envFrom/0/secretRef/name",
        ),
    ];
    let sources = places.map(|(name, _)| (Named::secret(name), secret(name, "s3cret")));
    let (template, copies, problems) =
        copied_by(&json!({"secrets": "Snapshot"}), &Sources::from(sources));
    assert_eq!(problems, [""; 0]);
    for (name, place) in places {
        let read = template.pointer(place).unwrap().as_str().unwrap();
        assert!(read.starts_with(&format!("api-{name}-")), "{place}: {read}");
        let copy = copies.iter().find(|copy| copy.of == Named::secret(read));
        let body = copy.unwrap().content.copied();
        assert_eq!(
            body,
            json!({"immutable": true, "type": "Opaque", "data": {"key": "s3cret"}})
        );
    }
    assert_eq!(template["spec"]["imagePullSecrets"][0]["name"], "registry");
    let token = &template["spec"]["volumes"][1]["projected"]["sources"][2];
    assert_eq!(*token, json!({"serviceAccountToken": {"path": "token"}}));
}

#[test]
fn a_map_and_a_secret_of_one_name_are_two() {
    let named = [Named::config_map("settings"), Named::secret("tls")];
    let (_, copies, _) = copied_by(
        &json!({}),
        &Sources::from([
            (named[0].clone(), map("1")),
            (named[1].clone(), secret("u", "1")),
        ]),
    );
    let kinds: Vec<ObjectKind> = copies.iter().map(|copy| copy.of.kind).collect();
    assert_eq!(kinds, [ObjectKind::ConfigMap, ObjectKind::Secret]);
}

#[test]
fn names_of_copies_do_not_depend_on_the_version_of_the_operator() {
    // Another name is another revision of every Rollout: these stand in clusters.
    let map = map("1");
    assert_eq!(
        name_of(&Named::config_map("settings"), map),
        "api-settings-969e07a717"
    );
    let secret = secret("11111111-2222-4333-8444-555555555555", "1");
    assert_eq!(name_of(&Named::secret("tls"), secret), "api-tls-76b06ac7d9");
}

#[test]
fn the_name_of_a_copy_of_a_secret_cannot_be_had_by_trying_values() {
    let tls = Named::secret("tls");
    let name = name_of(&tls, secret("a-uid-that-nobody-knows", "1234"));
    let bare = [
        json!(["Opaque", {"key": "1234"}]),
        json!([{"key": "1234"}]),
        json!({"key": "1234"}),
    ];
    for guess in bare {
        let hash = short_hash(guess.to_string().as_bytes(), DIGITS);
        assert!(!name.ends_with(&hash), "{guess}");
    }
    // Equal values of two Secrets do not show as equal either.
    assert_ne!(name, name_of(&tls, secret("another-uid", "1234")));
    assert_eq!(
        name,
        name_of(&tls, secret("a-uid-that-nobody-knows", "1234"))
    );
}

#[test]
fn what_is_in_it_is_not_shown() {
    let sources = Sources::from([(Named::secret("tls"), secret("u", "s3cret"))]);
    let (template, copies, _) = copied_by(&json!({}), &sources);
    let shown = format!("{sources:?} {copies:?} {template}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn what_is_missing_is_told_with_its_place_unless_it_is_optional() {
    let missing = [
        Named::config_map("flags"),
        Named::config_map("rules"),
        Named::secret("tls"),
    ];
    let missing = missing.map(|named| (named, Source::Missing));
    let (_, copies, lines) = copied_by(&json!({}), &Sources::from(missing));
    assert_eq!(copies, []);
    assert_eq!(
        lines,
        [
            "spec.template.spec.volumes[1].projected.sources[0].configMap: there is no ConfigMap rules; \
             create it, or say optional: true",
            "spec.template.spec.volumes[3].secret: there is no Secret tls; create it, or say optional: true",
        ]
    );
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let configs = json!({"snapshotSecrets": ["registry", "tls", "passwort"]});
    let (_, _, lines) = copied_by(&configs, &Sources::new());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0]
            .starts_with("spec.configs.snapshotSecrets[0]: the template reads no Secret registry"),
        "{lines:?}"
    );
    assert!(
        lines[1]
            .starts_with("spec.configs.snapshotSecrets[2]: the template reads no Secret passwort")
    );
}

#[test]
fn tokens_and_records_of_helm_are_read_as_they_are() {
    for type_ in NOT_COPIED {
        let token = || Source::of_secret("u", type_, json!({"token": "s3cret"}));
        let sources = Sources::from([(Named::secret("tls"), token())]);
        let (same, copies, lines) = copied_by(&json!({"secrets": "Snapshot"}), &sources);
        assert_eq!((same, copies, lines), (template(), Vec::new(), Vec::new()));
        let (_, _, lines) = copied_by(&json!({"snapshotSecrets": ["tls"]}), &sources);
        let told = format!(
            "spec.configs.snapshotSecrets[0]: Secret tls is of type {type_}, which is not copied; take it out of this list"
        );
        assert_eq!(lines, [told]);
    }
}

#[test]
fn an_operator_that_may_not_read_secrets_says_what_to_set() {
    let forbidden = ["tls", "key"].map(|name| (Named::secret(name), Source::Forbidden));
    let (same, copies, lines) =
        copied_by(&json!({"secrets": "Snapshot"}), &Sources::from(forbidden));
    assert_eq!((same, copies), (template(), Vec::new()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("spec.configs: asks for copies of Secrets (key, tls)"),
        "{lines:?}"
    );
    assert!(lines[0].contains("secretSnapshots.enabled: true"));
}
