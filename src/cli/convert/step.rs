//! The steps of a job: lines of a script, images, and what is there already. No I/O.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::expression;
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

/// The steps of a job, on their way into a stage.
pub(super) struct Steps<'a> {
    id: &'a str,
    variables: Vec<Value>,
    script: Vec<String>,
    builds: Vec<Value>,
    secrets: BTreeSet<String>,
}

impl<'a> Steps<'a> {
    /// The steps of a job with these variables.
    pub(super) fn new(id: &'a str, variables: Vec<Value>) -> Self {
        Self {
            id,
            variables,
            script: Vec::new(),
            builds: Vec::new(),
            secrets: BTreeSet::new(),
        }
    }

    /// Takes in one.
    pub(super) fn add(
        &mut self,
        at: usize,
        step: &Value,
        stage: &mut Map<String, Value>,
        draft: &mut Draft,
    ) {
        if let Some(action) = step.get("uses").and_then(text) {
            self.add_action((at, &action), step, stage, draft);
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
                let part = match folder {
                    None => lines,
                    Some(folder) if is_plain(&folder) => format!("(\ncd {folder}\n{lines}\n)"),
                    Some(folder) => {
                        self.leave_out(at, &format!("it runs in the folder {folder}"), draft);
                        return;
                    }
                };
                self.script.push(part);
            }
            Err(expression) => {
                self.leave_out(at, &format!("{expression} has no variable here"), draft);
            }
        }
    }

    fn leave_out(&mut self, at: usize, why: &str, draft: &mut Draft) {
        self.script.push(format!("# step {at} was left out"));
        draft.tell(format!("job {}: step {at}: left out: {why}", self.id));
    }

    fn add_action(
        &mut self,
        (at, action): (usize, &str),
        step: &Value,
        stage: &mut Map<String, Value>,
        draft: &mut Draft,
    ) {
        let (bare, _) = action.split_once('@').unwrap_or((action, ""));
        let with = |key: &str| {
            let with = step.get("with")?;
            with.get(key).and_then(text)
        };
        match bare {
            "actions/checkout" => {
                draft.fetches_all |= with("fetch-depth").as_deref() == Some("0");
                let submodules = with("submodules");
                draft.has_submodules |= submodules.is_some_and(|word| word != "false");
            }
            "actions/setup-python" => {
                self.set_image("python", with("python-version"), stage, draft);
            }
            "actions/setup-node" => self.set_image("node", with("node-version"), stage, draft),
            "actions/setup-go" => self.set_image("golang", with("go-version"), stage, draft),
            "docker/build-push-action" => self.builds.push(build(self.id, &with, draft)),
            _ => match instead(bare, &with) {
                Some(instead) => draft.tell(format!("job {}: step {at}: {instead}", self.id)),
                None => self.leave_out(
                    at,
                    &format!("{action}: write as a script what it does"),
                    draft,
                ),
            },
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

    /// Adds what has become of them.
    pub(super) fn finish(
        mut self,
        mut stage: Map<String, Value>,
        needs: &[String],
        draft: &mut Draft,
    ) {
        let own = name(self.id);
        for secret in std::mem::take(&mut self.secrets) {
            let is_there = |known: &Value| {
                let name = known.get("name").and_then(Value::as_str);
                name.is_some_and(|name| name == secret)
            };
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

/// What there is here instead of an action.
fn instead(action: &str, with: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    match action {
        "docker/login-action" => {
            Some("a login for the registry stands in build.pushSecretRef".to_owned())
        }
        "actions/cache" => {
            let path = with("path").unwrap_or_default();
            Some(format!("make a cache of {path} (docs/pipelines/pods.md)"))
        }
        "actions/upload-artifact" | "actions/download-artifact" => Some(
            "files between jobs: `reports` are read, and `packages` are kept (docs/packages.md)"
                .to_owned(),
        ),
        _ if DONE.contains(&action) => Some(format!(
            "{action} is not needed, or its work is that of the image"
        )),
        _ => None,
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
