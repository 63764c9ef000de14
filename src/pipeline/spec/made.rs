//! What is wrong with what a Pipeline makes, and with who uses it: packages, images of its own. No I/O.

use std::collections::BTreeSet;

use super::before;
use crate::model::invalid::Invalid;
use crate::pipeline::api::{PipelineSpec, Stage};

/// Images and packages of one Release.
const MAX_MADE: usize = 32;

pub(super) fn check(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    check_names(spec, problems);
    for (index, stage) in spec.stages.iter().enumerate() {
        check_stage(spec, stage, &format!("spec.stages[{index}]"), problems);
    }
}

/// What is made is told apart by name, whoever makes it.
fn check_names(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    let builds = spec.stages.iter().filter(|stage| stage.build.is_some());
    let mut known: BTreeSet<&str> = builds.map(|stage| stage.name.as_str()).collect();
    let mut count = known.len();
    for (index, stage) in spec.stages.iter().enumerate() {
        for (number, package) in stage.packages.iter().enumerate() {
            count += 1;
            if !known.insert(&package.name) {
                let problem = format!(
                    "a Build stage or another package is called {} already; call it otherwise",
                    package.name
                );
                let path = format!("spec.stages[{index}].packages[{number}].name");
                problems.push(Invalid::new(path, problem));
            }
        }
    }
    if count > MAX_MADE {
        let problem = format!("there are {count} images and packages, more than {MAX_MADE}");
        problems.push(Invalid::new("spec.stages", problem));
    }
}

fn check_stage(spec: &PipelineSpec, stage: &Stage, path: &str, problems: &mut Vec<Invalid>) {
    let mut wrong = |field: &str, problem: &str| {
        problems.push(Invalid::new(format!("{path}{field}"), problem));
    };
    let is_script = stage.type_.is_script();
    for (field, is_set) in [
        (".packages", !stage.packages.is_empty()),
        (".imageFrom", stage.image_from.is_some()),
        (".changes", !stage.changes.is_empty()),
    ] {
        if is_set && !is_script {
            wrong(field, "is for stages that run a script");
        }
    }
    let runs_once = stage.matrix.is_none() && !stage.always();
    if !stage.packages.is_empty() && !runs_once {
        let problem =
            "a stage with packages runs once, before the Release: take matrix and always out";
        wrong(".packages", problem);
    }
    let may_be_left_out = runs_once && stage.packages.is_empty();
    if !stage.changes.is_empty() && !may_be_left_out {
        let problem =
            "a stage with changes may be left out: it takes no packages, no matrix and no always";
        wrong(".changes", problem);
    }
    let by_matrix = stage
        .matrix
        .as_ref()
        .and_then(|matrix| matrix.image.as_ref());
    if stage.image_from.is_some() && (stage.image.is_some() || by_matrix.is_some()) {
        let problem = "a script runs in one image: set image, imageFrom or matrix.image";
        wrong(".imageFrom", problem);
    }
    for (index, service) in stage.services.iter().enumerate() {
        if service.image.is_some() == service.image_from.is_some() {
            let field = format!(".services[{index}]");
            wrong(&field, "a service runs one image: set image or imageFrom");
        }
    }
    let needs = before(spec, stage);
    for name in stage.images_from() {
        let mut stages = spec.stages.iter();
        if !stages.any(|other| other.name == name && other.build.is_some()) {
            let problem = format!("imageFrom: no Build stage is called {name}");
            wrong("", &problem);
        } else if !needs.contains(name) {
            let problem = format!("{name}, whose image it runs, has to be built before: add it");
            wrong(".needs", &problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::pipeline::testing::said;

    fn script(more: &Value) -> Value {
        let mut stage = json!({"name": "wheel", "type": "Custom", "image": "i", "run": "true"});
        json_patch::merge(&mut stage, more);
        stage
    }

    fn build(name: &str) -> Value {
        json!({"name": name, "type": "Build", "build": {"image": format!("r.example/{name}")}})
    }

    fn package(name: &str) -> Value {
        json!({"name": name, "files": ["dist/*"], "repository": "r.example/p"})
    }

    #[test]
    fn what_is_made_is_told_apart() {
        let packages = |packages: &Value| {
            said(&json!([
                build("api"),
                script(&json!({"packages": packages}))
            ]))
        };
        assert_eq!(packages(&json!([package("a"), package("b")])), "");
        assert!(packages(&json!([package("api")])).contains("packages[0].name: a Build stage"));
        assert!(packages(&json!([package("a"), package("a")])).contains("packages[1].name"));
    }

    #[test]
    fn what_goes_into_a_release_is_made_once() {
        let packages = json!([package("a")]);
        let matrix = json!({"axes": {"py": ["3"]}});
        for more in [
            json!({"packages": packages, "matrix": matrix}),
            json!({"packages": packages, "always": true}),
        ] {
            assert!(
                said(&json!([script(&more)]))
                    .contains("[0].packages: a stage with packages runs once")
            );
        }
        let both = script(&json!({"packages": packages, "changes": ["src/**"]}));
        assert!(said(&json!([both])).contains("[0].changes: a stage with changes"));
    }

    #[test]
    fn an_image_of_its_own_is_built_before() {
        let own = |more: &Value| {
            let mut stage =
                json!({"name": "smoke", "type": "Smoke", "run": "true", "imageFrom": "api"});
            json_patch::merge(&mut stage, more);
            said(&json!([build("api"), stage]))
        };
        assert_eq!(own(&json!({"needs": ["api"]})), "");
        assert!(own(&json!({})).contains("[1].needs: api, whose image it runs"));
        assert!(own(&json!({"imageFrom": "web"})).contains("no Build stage is called web"));
        assert!(
            own(&json!({"needs": ["api"], "image": "i"}))
                .contains("[1].imageFrom: a script runs in one")
        );
        let service = |more: &Value| {
            let services = json!([{"name": "app"}]);
            let mut stage = json!({"needs": ["api"], "services": services});
            json_patch::merge(&mut stage["services"][0], more);
            own(&stage)
        };
        assert_eq!(service(&json!({"imageFrom": "api"})), "");
        assert!(service(&json!({})).contains("services[0]: a service runs one image"));
        assert!(service(&json!({"image": "i", "imageFrom": "api"})).contains("services[0]"));
    }
}
