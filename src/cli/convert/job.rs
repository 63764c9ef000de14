//! A job of a workflow: a stage with a script, and one for each image that it builds. No I/O.

use serde_json::{Map, Value, json};

use super::expression::{self, Condition};
use super::step::Steps;
use super::workflow::{Draft, env, name, text, words};

/// Adds the stages of a job.
pub(super) fn convert(id: &str, job: &Value, draft: &mut Draft) {
    let own = name(id);
    if let Some(why) = cannot_be(job) {
        draft.tell(format!("job {id}: left out: {why}"));
        return;
    }
    let mut stage = Map::new();
    stage.insert("name".to_owned(), own.clone().into());
    stage.insert("type".to_owned(), type_of(id).into());
    let needs: Vec<String> = words(job.get("needs"))
        .iter()
        .map(|need| name(need))
        .collect();
    if !needs.is_empty() {
        stage.insert("needs".to_owned(), needs.clone().into());
    }
    add_condition(id, job, &mut stage, draft);
    add_matrix(id, job, &mut stage, draft);
    if let Some(image) = job.get("container") {
        let image = text(image).or_else(|| image.get("image").and_then(text));
        if let Some(image) = image.filter(|image| !image.contains("${{")) {
            stage.insert("image".to_owned(), image.into());
        } else {
            draft.tell(format!("job {id}: container: name its image by hand"));
        }
    }
    if let Some(minutes) = job.get("timeout-minutes").and_then(Value::as_u64) {
        stage.insert("timeout".to_owned(), format!("{}m", minutes.max(1)).into());
    }
    add_services(id, job, &mut stage, draft);
    for field in [
        "environment",
        "outputs",
        "permissions",
        "concurrency",
        "continue-on-error",
        "defaults",
    ] {
        if job.get(field).is_some() {
            draft.tell(format!("job {id}: {field} was left out"));
        }
    }
    let variables = env(job.get("env"), &format!("job {id}"), draft);
    let mut steps = Steps::new(id, variables);
    let found = job.get("steps").and_then(Value::as_array);
    for (at, step) in found.into_iter().flatten().enumerate() {
        steps.add(at + 1, step, &mut stage, draft);
    }
    steps.finish(stage, &needs, draft);
}

/// Why a job has no place here.
fn cannot_be(job: &Value) -> Option<String> {
    if job.get("uses").is_some() {
        return Some("it calls another workflow; convert that one".to_owned());
    }
    let on = words(job.get("runs-on"));
    let other = on
        .iter()
        .find(|on| on.contains("windows") || on.contains("macos"))?;
    Some(format!("{other}: stages run on Linux"))
}

/// What a failure of the stage is to be called, by the name that people gave it.
fn type_of(id: &str) -> &'static str {
    let id = id.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| id.contains(word));
    if has(&["lint", "format", "style"]) {
        "Lint"
    } else if has(&["scan", "security", "audit", "sast"]) {
        "Scan"
    } else if has(&["bench", "perf"]) {
        "Benchmark"
    } else if has(&["smoke"]) {
        "Smoke"
    } else if has(&["test", "check", "unit"]) {
        "Test"
    } else {
        "Custom"
    }
}

fn add_condition(id: &str, job: &Value, stage: &mut Map<String, Value>, draft: &mut Draft) {
    let Some(condition) = job.get("if").and_then(text) else {
        return;
    };
    match expression::condition(&condition) {
        Condition::Always => {
            stage.insert("always".to_owned(), true.into());
            stage.remove("needs");
        }
        Condition::When(cel) => {
            stage.insert("when".to_owned(), cel.into());
        }
        Condition::Unknown => {
            // Rather not at all than where it was not meant.
            stage.insert("when".to_owned(), "false".into());
            draft.tell(format!("job {id}: if: {condition}: say it in CEL in `when`; until then the stage does not run"));
        }
    }
}

fn add_matrix(id: &str, job: &Value, stage: &mut Map<String, Value>, draft: &mut Draft) {
    let Some(strategy) = job.get("strategy") else {
        return;
    };
    let Some(found) = strategy.get("matrix").and_then(Value::as_object) else {
        draft.tell(format!(
            "job {id}: strategy.matrix is worked out when it runs; list its values"
        ));
        return;
    };
    let mut axes = Map::new();
    for (axis, values) in found {
        if matches!(axis.as_str(), "include" | "exclude") {
            continue;
        }
        let all = words(Some(values));
        let is_there = |value: &&String| !value.contains("windows") && !value.contains("macos");
        let kept: Vec<&String> = all.iter().filter(is_there).collect();
        for other in all.iter().filter(|value| !is_there(value)) {
            draft.tell(format!(
                "job {id}: matrix value {other}: stages run on Linux"
            ));
        }
        // The one system that is left tells nobody anything.
        let is_one_of_many = kept.len() == 1 && all.len() > 1;
        if !kept.is_empty() && !is_one_of_many && values.is_array() {
            axes.insert(expression::axis(axis), json!(kept));
        }
    }
    let mut matrix = Map::new();
    for list in ["include", "exclude"] {
        let entries = entries((id, list), found, &axes, draft);
        if !entries.is_empty() {
            matrix.insert(list.to_owned(), entries.into());
        }
    }
    if axes.is_empty() {
        return;
    }
    matrix.insert("axes".to_owned(), axes.into());
    if let Some(count) = strategy.get("max-parallel").and_then(Value::as_u64) {
        matrix.insert("maxParallel".to_owned(), count.into());
    }
    if let Some(is_set) = strategy.get("fail-fast").and_then(Value::as_bool) {
        matrix.insert("failFast".to_owned(), is_set.into());
    }
    stage.insert("matrix".to_owned(), matrix.into());
}

/// The combinations of a list that name axes which are there; to add one takes all of them.
fn entries(
    (id, list): (&str, &str),
    found: &Map<String, Value>,
    axes: &Map<String, Value>,
    draft: &mut Draft,
) -> Vec<Value> {
    let given = found.get(list).and_then(Value::as_array);
    let given = given.map(Vec::as_slice).unwrap_or_default();
    let known = given.iter().filter_map(|entry| entry_of(entry, axes));
    let is_whole = |entry: &Value| entry.as_object().map_or(0, Map::len) == axes.len();
    let known: Vec<Value> = known
        .filter(|entry| list == "exclude" || is_whole(entry))
        .collect();
    if known.len() < given.len() {
        draft.tell(format!(
            "job {id}: matrix.{list}: an entry that names other axes, or not all of them, was left out"
        ));
    }
    known
}

/// A combination of axes that are there.
fn entry_of(entry: &Value, known: &Map<String, Value>) -> Option<Value> {
    let mut made = Map::new();
    for (name, value) in entry.as_object()? {
        let axis = expression::axis(name);
        known.get(&axis)?;
        made.insert(axis, text(value)?.into());
    }
    Some(made.into())
}

fn add_services(id: &str, job: &Value, stage: &mut Map<String, Value>, draft: &mut Draft) {
    let mut services = Vec::new();
    for (service, found) in job
        .get("services")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let Some(image) = found.get("image").and_then(text) else {
            draft.tell(format!("job {id}: service {service} has no image"));
            continue;
        };
        let mut made = json!({"name": name(service), "image": image});
        let variables = env(found.get("env"), &format!("service {service}"), draft);
        let ports = words(found.get("ports"));
        let port = ports
            .first()
            .and_then(|port| port.rsplit(':').next()?.parse::<u16>().ok());
        if let Some(fields) = made.as_object_mut() {
            if !variables.is_empty() {
                fields.insert("env".to_owned(), variables.into());
            }
            if let Some(port) = port {
                fields.insert("ready".to_owned(), json!({"tcp": port}));
            }
        }
        if found.get("options").is_some() {
            draft.tell(format!(
                "job {id}: options of service {service}: `ready` says when it is"
            ));
        }
        draft.tell(format!(
            "job {id}: service {service} is reached as localhost"
        ));
        services.push(made);
    }
    if !services.is_empty() {
        stage.insert("services".to_owned(), services.into());
    }
}

/// Takes out what no stage is any more, and what stages that run always must not need.
pub(super) fn drop_needs(draft: &mut Draft) {
    let field =
        |stage: &Value, key: &str| stage.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_always = |stage: &Value| stage.get("always").is_some();
    let known: Vec<(Option<String>, bool)> = draft
        .stages
        .iter()
        .map(|stage| (field(stage, "name"), is_always(stage)))
        .collect();
    let mut gone = Vec::new();
    for stage in &mut draft.stages {
        let own = is_always(stage);
        let Some(needs) = stage.get_mut("needs").and_then(Value::as_array_mut) else {
            continue;
        };
        needs.retain(|need| {
            let need = need.as_str().map(str::to_owned);
            let stays = known.contains(&(need.clone(), own));
            if !stays {
                gone.extend(need);
            }
            stays
        });
        if needs.is_empty()
            && let Some(stage) = stage.as_object_mut()
        {
            stage.remove("needs");
        }
    }
    for need in gone {
        draft.tell(format!("needs: {need}: there is no such stage any more"));
    }
}
