//! Where and as whom a pod runs. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use crate::pipeline::api::{PodSettings, SecurityProfile};

/// The user of a pod that has to be anybody but root.
const NOBODY: i64 = 65532;

/// Puts the settings into a pod. What runs no script of people's has rights of its own.
pub(super) fn apply(pod: &mut Value, settings: &PodSettings, is_script: bool) {
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            pod[field] = value;
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let selector = &settings.node_selector;
    set(
        "nodeSelector",
        (!selector.is_empty()).then(|| json!(selector)),
    );
    let tolerations = &settings.tolerations;
    set(
        "tolerations",
        (!tolerations.is_empty()).then(|| json!(tolerations)),
    );
    set("priorityClassName", text(&settings.priority_class_name));
    set("runtimeClassName", text(&settings.runtime_class_name));
    set("hostUsers", settings.host_users.map(Value::from));
    set("serviceAccountName", text(&settings.service_account_name));
    let pull = settings
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}));
    let pull: Vec<Value> = pull.collect();
    set("imagePullSecrets", (!pull.is_empty()).then(|| pull.into()));
    set(
        "securityContext",
        is_script.then(|| of_pod(settings)).flatten(),
    );
}

fn of_pod(settings: &PodSettings) -> Option<Value> {
    let profile = settings.security_profile.unwrap_or_default();
    let is_restricted = profile == SecurityProfile::Restricted;
    let user = settings.run_as_user.or(is_restricted.then_some(NOBODY))?;
    // Files of Secrets, and volumes, belong to the group.
    let mut context = json!({"runAsUser": user, "runAsGroup": user, "fsGroup": user});
    if is_restricted {
        context["runAsNonRoot"] = true.into();
        context["seccompProfile"] = json!({"type": "RuntimeDefault"});
    }
    Some(context)
}

/// What a container with an image of people's may do.
pub(super) fn of_people(profile: SecurityProfile) -> Value {
    match profile {
        SecurityProfile::Baseline => json!({"allowPrivilegeEscalation": false}),
        SecurityProfile::Restricted => super::confined(),
    }
}
