//! What every definition must have, whatever the kind.

use std::collections::BTreeSet;

use super::*;

/// Largest definition that client-side `kubectl apply` still takes, in bytes, with room to spare.
const SIZE_LIMIT: usize = 200 * 1024;

fn definitions() -> Vec<(&'static KindInfo, Value)> {
    let polished = |info| serde_json::to_value(polish(info).unwrap()).unwrap();
    KINDS.iter().map(|info| (info, polished(info))).collect()
}

fn schema_of(crd: &mut Value) -> &mut Value {
    crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
}

/// Every schema of a definition, with its path.
fn schemas(crd: &mut Value) -> Vec<Map<String, Value>> {
    let mut found = Vec::new();
    walk(schema_of(crd), &mut |schema| found.push(schema.clone()));
    found
}

#[test]
fn the_list_of_kinds_says_what_the_types_say() {
    for (info, crd) in definitions() {
        let names = &crd["spec"]["names"];
        assert_eq!(crd["spec"]["group"], info.group);
        assert_eq!(
            crd["metadata"]["name"],
            format!("{}.{}", info.plural, info.group)
        );
        assert_eq!(names["kind"], info.kind);
        assert_eq!(names["plural"], info.plural);
        assert_eq!(names["shortNames"], json!([info.short]));
        assert_eq!(names["categories"], json!(["slipway"]));
        assert_eq!(crd["spec"]["scope"] == "Namespaced", info.namespaced);
        assert_eq!(crd["spec"]["versions"][0]["name"], info.version);
    }
}

#[test]
fn names_are_used_once() {
    let mut names = BTreeSet::new();
    for info in KINDS {
        assert!(names.insert(info.plural), "{}", info.plural);
        assert!(names.insert(info.short), "{}", info.short);
    }
}

#[test]
fn every_definition_fits_the_annotation_of_kubectl_apply() {
    for (info, crd) in definitions() {
        let size = crd.to_string().len();
        assert!(size < SIZE_LIMIT, "{}: {size} bytes", info.kind);
    }
}

#[test]
fn only_kinds_with_a_reconciler_have_a_status_and_its_default() {
    for (info, mut crd) in definitions() {
        let version = &crd["spec"]["versions"][0];
        assert_eq!(
            version["subresources"]["status"].is_object(),
            info.has_reconciler,
            "{}",
            info.kind
        );
        let status = schema_of(&mut crd).pointer("/properties/status").cloned();
        assert_eq!(status.is_some(), info.has_reconciler, "{}", info.kind);
        if let Some(status) = status {
            assert_eq!(status["default"], json!({ "observedGeneration": -1 }));
            assert_eq!(
                status["properties"]["observedGeneration"]["type"], "integer",
                "{}",
                info.kind
            );
            let conditions = &status["properties"]["conditions"];
            assert_eq!(
                conditions["x-kubernetes-list-map-keys"],
                json!(["type"]),
                "{}",
                info.kind
            );
        }
    }
}

#[test]
fn nothing_is_nullable_and_formats_are_known() {
    let known = ["int32", "int64", "date", "date-time", "double"];
    for (info, mut crd) in definitions() {
        for schema in schemas(&mut crd) {
            assert!(
                !schema.contains_key("nullable"),
                "{}: {schema:?}",
                info.kind
            );
            let format = schema.get("format").and_then(Value::as_str);
            assert!(
                format.is_none_or(|format| known.contains(&format)),
                "{}: {format:?}",
                info.kind
            );
        }
    }
}

#[test]
fn every_field_says_what_it_is() {
    for (info, mut crd) in definitions() {
        for schema in schemas(&mut crd) {
            let fields = schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten();
            for (name, field) in fields.filter(|(name, _)| !is_of_kubernetes(name)) {
                let text = field
                    .get("description")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let ends = text.ends_with(['.', '`', ')']) || text.contains("Example:");
                assert!(text.len() > 3 && ends, "{}: {name}: {text:?}", info.kind);
            }
        }
    }
}

fn is_of_kubernetes(field: &str) -> bool {
    ["apiVersion", "kind", "metadata", "spec", "status"].contains(&field)
}

/// GitOps tools compare lists as a whole: a default inside one would show as drift for ever.
#[test]
fn no_list_has_defaults_inside() {
    for (info, mut crd) in definitions() {
        for schema in schemas(&mut crd) {
            let Some(items) = schema.get("items") else {
                continue;
            };
            walk(&mut items.clone(), &mut |item| {
                assert!(!item.contains_key("default"), "{}: {item:?}", info.kind);
            });
        }
    }
}

#[test]
fn every_rule_says_what_is_wrong() {
    for (info, mut crd) in definitions() {
        for schema in schemas(&mut crd) {
            let rules = schema
                .get("x-kubernetes-validations")
                .and_then(Value::as_array);
            for rule in rules.into_iter().flatten() {
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty(), "{}: {rule}", info.kind);
            }
        }
    }
}

#[test]
fn the_age_stands_in_the_last_column_of_the_narrow_table() {
    for (info, crd) in definitions() {
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
            .as_array()
            .unwrap();
        let narrow: Vec<&Value> = columns
            .iter()
            .filter(|column| column["priority"].is_null())
            .collect();
        assert!(narrow.len() <= 7, "{}", info.kind);
        assert_eq!(narrow.last().unwrap()["name"], "Age", "{}", info.kind);
    }
}

#[test]
fn printing_yields_one_document_per_kind() {
    let mut out = Vec::new();
    print_all(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let documents: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&text).unwrap();
    assert_eq!(documents, all().unwrap());
}

/// kubectl shows the first value only, as if there were no other.
#[test]
fn no_column_shows_a_list() {
    for (info, crd) in definitions() {
        for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]
            .as_array()
            .unwrap()
        {
            let path = column["jsonPath"].as_str().unwrap();
            assert!(!path.contains("[*]"), "{}: {path}", info.kind);
        }
    }
}
