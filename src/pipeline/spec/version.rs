//! What is wrong with a Release stage that the schema cannot see. No I/O.

use crate::model::invalid::Invalid;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::release::file;

pub(super) fn check_stage(
    spec: &PipelineSpec,
    stage: &Stage,
    path: &dyn Fn(&str) -> String,
    problems: &mut Vec<Invalid>,
) {
    let mut wrong = |field: &str, problem: String| {
        problems.push(Invalid::new(path(field), problem));
    };
    let Some(release) = &stage.release else {
        let problem = "a Release stage needs release: what it leaves in the repository";
        wrong(".release", problem.to_owned());
        return;
    };
    if !spec.release.enabled {
        let problem = "this Pipeline makes no Releases (release.enabled)";
        wrong(".release", problem.to_owned());
    }
    if spec.release.version.is_none() {
        let problem = "there is no version that it could be about; set spec.release.version";
        wrong(".release", problem.to_owned());
    }
    if release.credentials.is_none() && spec.source.git.credentials.is_none() {
        let problem = "nobody may push without a login; set it here or in source.git.credentials";
        wrong(".release.credentials", problem.to_owned());
    }
    let mut others = spec.stages.iter();
    if others.any(|other| other.name != stage.name && other.release.is_some()) {
        let problem = "there is another Release stage; one gives a commit its version";
        wrong(".release", problem.to_owned());
    }
    for (index, file) in release.files.iter().enumerate() {
        if let Some(Err(problem)) = file.pattern.as_deref().map(file::pattern) {
            wrong(&format!(".release.files[{index}].pattern"), problem);
        }
    }
    let paths = release.files.iter().map(|file| &file.path);
    for path in paths.chain(&release.changelog) {
        if path
            .split('/')
            .any(|part| matches!(part, "" | "." | ".." | ".git"))
        {
            let problem = format!("{path} is no path in the repository");
            wrong(".release.files", problem);
        }
    }
    for branch in &release.merge_into {
        if *branch == spec.release_branch() {
            let problem = format!("{branch} is what is released already; take it out");
            wrong(".release.mergeInto", problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::problems;
    use crate::model::invalid::sentence;

    fn said(release: &Value, more: &Value) -> String {
        let mut spec = json!({
            "source": {"git": {"url": "https://git.example/a.git", "credentials": {"secretName": "git"}}},
            "release": {"version": {}},
            "stages": [
                {"name": "image", "type": "Build", "build": {"image": "r.example/a"}},
                {"name": "version", "type": "Release", "release": release},
            ],
        });
        json_patch::merge(&mut spec, more);
        sentence(&problems(&serde_json::from_value(spec).unwrap()))
    }

    #[test]
    fn a_release_stage_has_what_it_takes() {
        let none = json!({});
        assert_eq!(said(&json!({}), &none), "");
        let fine = json!({
            "files": [{"path": "Cargo.toml", "pattern": "^version = \"(.+)\"$"}, {"path": "VERSION"}],
            "changelog": "CHANGELOG.md", "mergeInto": ["next"],
        });
        assert_eq!(said(&fine, &none), "");
        for (release, more, says) in [
            (
                json!({}),
                json!({"release": {"version": null}}),
                "set spec.release.version",
            ),
            (
                json!({}),
                json!({"release": {"enabled": false}}),
                "makes no Releases",
            ),
            (
                json!({}),
                json!({"source": {"git": {"credentials": null}}}),
                "nobody may push",
            ),
            (
                json!({"mergeInto": ["main"]}),
                json!({}),
                "main is what is released",
            ),
            (
                json!({"files": [{"path": "a/../b"}]}),
                json!({}),
                "a/../b is no path",
            ),
            (
                json!({"files": [{"path": "a", "pattern": "v"}]}),
                json!({}),
                "files[0].pattern: must have one group",
            ),
        ] {
            let said = said(&release, &more);
            assert!(said.contains(says), "{said}");
        }
    }
}
