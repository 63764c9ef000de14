//! What is wrong with a Pipeline that the schema cannot see. No I/O.

mod pod;

use std::collections::BTreeSet;

use super::api::{PipelineSpec, Stage, StageType};
use crate::model::invalid::Invalid;

/// Everything that keeps a spec from being run. Empty for one that can.
pub fn problems(spec: &PipelineSpec) -> Vec<Invalid> {
    let mut problems = Vec::new();
    let git = &spec.source.git;
    if git.url.starts_with("http://") && !git.insecure {
        let problem = "must be https://; set insecure: true to fetch without encryption";
        problems.push(Invalid::new("spec.source.git.url", problem));
    } else if !git.url.starts_with("http://") && !git.url.starts_with("https://") {
        let problem = "must be an https:// URL: other protocols are not supported yet";
        problems.push(Invalid::new("spec.source.git.url", problem));
    }
    for (index, stage) in spec.stages.iter().enumerate() {
        check_stage(spec, index, stage, &mut problems);
    }
    for stage in in_a_circle(spec) {
        let path = format!("spec.stages[{stage}].needs");
        problems.push(Invalid::new(
            path,
            "stages wait for each other in a circle; take one of the needs out",
        ));
    }
    pod::check(spec, &mut problems);
    check_gates(spec, &mut problems);
    problems
}

fn check_stage(spec: &PipelineSpec, index: usize, stage: &Stage, problems: &mut Vec<Invalid>) {
    let path = |field: &str| format!("spec.stages[{index}]{field}");
    let earlier = spec.stages.iter().take(index);
    if earlier.into_iter().any(|other| other.name == stage.name) {
        let problem = format!("another stage is called {} already", stage.name);
        problems.push(Invalid::new(path(".name"), problem));
    }
    for name in &stage.needs {
        if !spec.stages.iter().any(|other| other.name == *name) {
            let names: Vec<&str> = spec.stages.iter().map(|s| s.name.as_str()).collect();
            let problem = format!("no stage is called {name}; there are {}", names.join(", "));
            problems.push(Invalid::new(path(".needs"), problem));
        }
    }
    match stage.type_ {
        StageType::Test => {
            if stage.image.is_none() && spec.defaults.image.is_none() {
                let problem = "a Test stage needs an image: set it here or in spec.defaults.image";
                problems.push(Invalid::new(path(".image"), problem));
            }
            if stage.run.is_none() {
                let problem = "a Test stage needs run: the script to run";
                problems.push(Invalid::new(path(".run"), problem));
            }
        }
        StageType::Build => {
            if stage.build.is_none() {
                let problem = "a Build stage needs build: what to build and where to push it";
                problems.push(Invalid::new(path(".build"), problem));
            }
        }
    }
}

fn check_gates(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    let has_report = spec.stages.iter().any(|stage| {
        let reports = stage.reports.as_ref();
        reports.is_some_and(|reports| !reports.junit.is_empty())
    });
    for (index, gate) in spec.gates.iter().enumerate() {
        let path = format!("spec.gates[{index}]");
        if gate.tests.is_none() {
            problems.push(Invalid::new(path, "a gate needs a check: set tests"));
        } else if !has_report {
            let problem = "no stage leaves a report that it could judge; set reports.junit on the \
                           stage that runs the tests";
            problems.push(Invalid::new(path + ".tests", problem));
        }
    }
}

/// Stages, by index, that can never start because they wait for each other.
fn in_a_circle(spec: &PipelineSpec) -> Vec<usize> {
    let known: BTreeSet<&str> = spec
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = done.len();
        for stage in &spec.stages {
            let mut needs = stage.needs.iter().map(String::as_str);
            // A name that no stage has is a problem of its own.
            if needs.all(|name| done.contains(name) || !known.contains(name)) {
                done.insert(&stage.name);
            }
        }
        if done.len() == before {
            break;
        }
    }
    let stuck = spec.stages.iter().enumerate();
    stuck
        .filter(|(_, stage)| !done.contains(stage.name.as_str()))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::invalid::sentence;

    fn test(name: &str, needs: &[&str]) -> Value {
        json!({"name": name, "type": "Test", "image": "i", "run": "true", "needs": needs})
    }

    fn said(spec: Value) -> String {
        let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
        sentence(&problems(&spec))
    }

    fn with_stages(stages: &[Value]) -> Value {
        json!({"source": {"git": {"url": "https://git.example/a.git"}}, "stages": stages})
    }

    #[test]
    fn a_diamond_is_fine() {
        let stages = [
            test("a", &[]),
            test("b", &["a"]),
            test("c", &["a"]),
            test("d", &["b", "c"]),
        ];
        assert_eq!(said(with_stages(&stages)), "");
    }

    #[test]
    fn a_circle_is_told_with_all_that_wait_in_it() {
        let stages = [test("a", &[]), test("b", &["c"]), test("c", &["a", "b"])];
        let said = said(with_stages(&stages));
        assert!(said.contains("spec.stages[1].needs: stages wait for each other"));
        assert!(said.contains("spec.stages[2].needs"));
        assert!(!said.contains("spec.stages[0]"));
        assert!(super::tests::said(with_stages(&[test("a", &["a"])])).contains("circle"));
    }

    #[test]
    fn an_unknown_need_names_the_stages_that_there_are() {
        let said = said(with_stages(&[test("a", &["b"]), test("c", &[])]));
        assert_eq!(
            said,
            "spec.stages[0].needs: no stage is called b; there are a, c"
        );
    }

    #[test]
    fn a_gate_needs_a_stage_that_leaves_a_report() {
        let mut spec = with_stages(&[test("a", &[])]);
        spec["gates"] = json!([{"name": "tests", "tests": {}}]);
        assert!(said(spec.clone()).starts_with("spec.gates[0].tests: no stage leaves a report"));
        spec["stages"][0]["reports"] = json!({"junit": ["*.xml"]});
        assert_eq!(said(spec), "");
    }

    #[test]
    fn stages_need_what_their_type_says() {
        let stages = [
            json!({"name": "a", "type": "Test"}),
            json!({"name": "b", "type": "Build"}),
            json!({"name": "b", "type": "Build", "build": {"image": "r/a"}}),
        ];
        let said = said(with_stages(&stages));
        for part in ["[0].image", "[0].run", "[1].build", "[2].name"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn http_has_to_be_asked_for() {
        let mut spec = with_stages(&[test("a", &[])]);
        spec["source"]["git"]["url"] = json!("http://git.example/a.git");
        assert!(said(spec.clone()).contains("insecure: true"));
        spec["source"]["git"]["insecure"] = json!(true);
        assert_eq!(said(spec.clone()), "");
        spec["source"]["git"]["url"] = json!("file:///etc");
        assert!(said(spec).contains("https://"));
    }
}
