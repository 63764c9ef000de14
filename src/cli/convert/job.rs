//! A job of a workflow: a stage with a script, and one for each image that it builds. No I/O.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::expression::{self, Condition};
use super::workflow::{Draft, env, name, text, words};

/// Actions whose work is done already, or by nobody.
const DONE: [&str; 6] = [
    "docker/setup-buildx-action",
    "docker/setup-qemu-action",
    "docker/metadata-action",
    "actions/setup-java",
    "actions/setup-dotnet",
    "actions/setup-ruby",
];

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
    let mut steps = Steps {
        id,
        variables: env(job.get("env"), &format!("job {id}"), draft),
        script: Vec::new(),
        builds: Vec::new(),
        secrets: BTreeSet::new(),
    };
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
        if !kept.is_empty() && !(kept.len() < all.len() && kept.len() == 1) && values.is_array() {
            axes.insert(expression::axis(axis), json!(kept));
        }
    }
    let mut matrix = Map::new();
    for list in ["include", "exclude"] {
        let entries = found.get(list).and_then(Value::as_array);
        let entries: Vec<Value> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry_of(entry, &axes))
            .collect();
        let given = found
            .get(list)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let fits = |entry: &Value| {
            let count = entry.as_object().map_or(0, Map::len);
            list == "exclude" || count == axes.len()
        };
        let entries: Vec<Value> = entries.into_iter().filter(fits).collect();
        if entries.len() < given {
            draft.tell(format!("job {id}: matrix.{list}: an entry that names other axes, or not all of them, was left out"));
        }
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

/// A combination of axes that are there.
fn entry_of(entry: &Value, axes: &Map<String, Value>) -> Option<Value> {
    let mut made = Map::new();
    for (axis, value) in entry.as_object()? {
        let axis = expression::axis(axis);
        axes.get(&axis)?;
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

/// The steps of a job, on their way into a stage.
struct Steps<'a> {
    id: &'a str,
    variables: Vec<Value>,
    script: Vec<String>,
    builds: Vec<Value>,
    secrets: BTreeSet<String>,
}

impl Steps<'_> {
    fn add(&mut self, at: usize, step: &Value, stage: &mut Map<String, Value>, draft: &mut Draft) {
        if let Some(action) = step.get("uses").and_then(text) {
            self.add_action(at, &action, step, stage, draft);
            return;
        }
        let Some(run) = step.get("run").and_then(text) else {
            return;
        };
        let id = self.id;
        if step.get("if").is_some() || step.get("continue-on-error").is_some() {
            self.leave_out(
                at,
                "it runs on a condition: make a stage of it, with `when` or `always`",
                draft,
            );
            return;
        }
        match expression::script(&run) {
            Ok(script) => {
                let step_env = env(step.get("env"), &format!("step {at} of job {id}"), draft);
                for variable in step_env {
                    self.variables
                        .retain(|known| known.get("name") != variable.get("name"));
                    self.variables.push(variable);
                }
                self.secrets.extend(script.secrets);
                let lines = script.text.trim_end().to_owned();
                let folder = step.get("working-directory").and_then(text);
                let is_plain = |folder: &String| {
                    folder
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c))
                        && !folder.starts_with('-')
                };
                self.script.push(match folder {
                    None => lines,
                    Some(folder) if is_plain(&folder) => format!("(\ncd {folder}\n{lines}\n)"),
                    Some(folder) => {
                        self.leave_out(at, &format!("it runs in the folder {folder}"), draft);
                        return;
                    }
                });
            }
            Err(expression) => {
                self.leave_out(at, &format!("{expression} has no variable here"), draft)
            }
        }
    }

    fn leave_out(&mut self, at: usize, why: &str, draft: &mut Draft) {
        self.script.push(format!("# step {at} was left out"));
        draft.tell(format!("job {}: step {at}: left out: {why}", self.id));
    }

    fn add_action(
        &mut self,
        at: usize,
        action: &str,
        step: &Value,
        stage: &mut Map<String, Value>,
        draft: &mut Draft,
    ) {
        let (bare, _) = action.split_once('@').unwrap_or((action, ""));
        let with = |key: &str| {
            step.get("with")
                .and_then(|with| with.get(key))
                .and_then(text)
        };
        let id = self.id;
        match bare {
            "actions/checkout" => {
                draft.fetches_all |= with("fetch-depth").as_deref() == Some("0");
                let submodules = with("submodules");
                draft.has_submodules |= submodules.is_some_and(|word| word != "false");
            }
            "actions/setup-python" => self.set_image("python", with("python-version"), stage, draft),
            "actions/setup-node" => self.set_image("node", with("node-version"), stage, draft),
            "actions/setup-go" => self.set_image("golang", with("go-version"), stage, draft),
            "docker/build-push-action" => self.builds.push(build(id, &with, draft)),
            "docker/login-action" => {
                draft.tell(format!("job {id}: a login for the registry stands in build.pushSecretRef"));
            }
            "actions/cache" => draft.tell(format!(
                "job {id}: step {at}: {}: make a cache of it (docs/pipelines/pods.md#caches)",
                with("path").unwrap_or_default()
            )),
            "actions/upload-artifact" | "actions/download-artifact" => draft.tell(format!(
                "job {id}: step {at}: files between jobs: `reports` are read, and `packages` are kept (docs/packages.md)"
            )),
            _ if DONE.contains(&bare) => {
                draft.tell(format!("job {id}: step {at}: {bare} is not needed, or its work is that of the image"));
            }
            _ => self.leave_out(at, &format!("{action}: write as a script what it does"), draft),
        }
    }

    /// What a setup action installs is an image here.
    fn set_image(
        &self,
        image: &str,
        version: Option<String>,
        stage: &mut Map<String, Value>,
        draft: &mut Draft,
    ) {
        let id = self.id;
        let version = version.unwrap_or_else(|| "latest".to_owned());
        let axis = expression::of_matrix(&version).map(expression::axis);
        if let Some(axis) = axis {
            let values = stage
                .get("matrix")
                .and_then(|matrix| matrix.get("axes")?.get(&axis))
                .cloned();
            let images = words(values.as_ref()).into_iter();
            let images: Map<String, Value> = images
                .map(|value| (value.clone(), format!("{image}:{value}").into()))
                .collect();
            if let Some(matrix) = stage.get_mut("matrix").and_then(Value::as_object_mut) {
                matrix.insert("image".to_owned(), json!({"axis": axis, "images": images}));
            }
        } else if version.contains("${{") {
            draft.tell(format!(
                "job {id}: the version of {image} is worked out when it runs; set `image`"
            ));
        } else {
            stage
                .entry("image")
                .or_insert_with(|| format!("{image}:{version}").into());
        }
        draft.tell(format!(
            "job {id}: {image} comes with the image of the stage: put your registry before it"
        ));
    }

    fn finish(mut self, mut stage: Map<String, Value>, needs: &[String], draft: &mut Draft) {
        let own = name(self.id);
        for secret in std::mem::take(&mut self.secrets) {
            let is_there =
                |known: &Value| known.get("name").and_then(Value::as_str) == Some(&secret);
            if !self.variables.iter().any(is_there) {
                let key = json!({"name": draft.secret, "key": secret});
                self.variables
                    .push(json!({"name": secret, "secretRef": key}));
                draft.needs_secret();
            }
        }
        let is_comment = |part: &String| part.starts_with("# ");
        let has_script = !self.script.iter().all(is_comment);
        if has_script {
            stage.insert(
                "run".to_owned(),
                format!("{}\n", self.script.join("\n")).into(),
            );
            if !self.variables.is_empty() {
                stage.insert("env".to_owned(), self.variables.into());
            }
            draft.stages.push(stage.clone().into());
        } else if self.builds.is_empty() {
            draft.tell(format!("job {}: left out: nothing is left of it", self.id));
        }
        for (at, mut build) in self.builds.into_iter().enumerate() {
            let Some(fields) = build.as_object_mut() else {
                continue;
            };
            let called = match (has_script, at) {
                (false, 0) => own.clone(),
                (_, 0) => format!("{own}-image"),
                (_, at) => format!("{own}-image-{}", at + 1),
            };
            let needs = if has_script {
                vec![own.clone()]
            } else {
                needs.to_vec()
            };
            fields.insert("name".to_owned(), called.into());
            if !needs.is_empty() {
                fields.insert("needs".to_owned(), needs.into());
            }
            if let Some(when) = stage.get("when") {
                fields.insert("when".to_owned(), when.clone());
            }
            draft.stages.push(build);
        }
    }
}

fn build(id: &str, with: &dyn Fn(&str) -> Option<String>, draft: &mut Draft) -> Value {
    let tags = with("tags").unwrap_or_default();
    let first = tags
        .split([',', '\n'])
        .map(str::trim)
        .find(|tag| !tag.is_empty());
    let image = first.filter(|tag| !tag.contains("${{")).map(|tag| {
        let slash = tag.rfind('/').unwrap_or(0);
        let colon = tag.rfind(':').filter(|colon| *colon > slash);
        tag.get(..colon.unwrap_or(tag.len()))
            .unwrap_or(tag)
            .to_owned()
    });
    let has_host = |image: &String| image.split('/').count() > 1;
    let image = image.filter(has_host).unwrap_or_else(|| {
        draft.tell(format!(
            "job {id}: set build.image: where the image is pushed"
        ));
        format!("registry.example/{}", name(id))
    });
    draft.tell(format!(
        "job {id}: images are pushed by digest: a Tag stage gives them names (docs/stages/tag.md)"
    ));
    let mut build = Map::new();
    build.insert("image".to_owned(), image.into());
    for (key, field) in [
        ("context", "contextDir"),
        ("file", "dockerfile"),
        ("target", "target"),
    ] {
        let value = with(key).filter(|value| !value.contains("${{") && value != ".");
        if let Some(value) = value {
            build.insert(field.to_owned(), value.trim_start_matches("./").into());
        }
    }
    let platforms = with("platforms").unwrap_or_default();
    let platforms: Vec<&str> = platforms
        .split(',')
        .map(str::trim)
        .filter(|platform| !platform.is_empty())
        .collect();
    if !platforms.is_empty() {
        build.insert("platforms".to_owned(), json!(platforms));
    }
    for key in [
        "build-args",
        "secrets",
        "cache-from",
        "cache-to",
        "labels",
        "push",
        "outputs",
    ] {
        if with(key).is_some() {
            draft.tell(format!("job {id}: {key} of the build: see docs/builds.md"));
        }
    }
    json!({"type": "Build", "build": build})
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
