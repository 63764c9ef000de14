//! What is wrong with a Pipeline that the schema cannot see. No I/O.

mod made;
mod pod;
mod supply;
mod version;

use std::collections::BTreeSet;

use super::api::{AxisValues, Matrix, PipelineSpec, Reports, Stage, StageType};
use super::trigger::schedule;
use super::{condition, definition, matrix};
use crate::gate::expression as gate_expression;
use crate::gate::source::{self, Missing};
use crate::gate::waiver;
use crate::git::refs;
use crate::model::glob;
use crate::model::invalid::Invalid;
use crate::pipeline_run::tag::{MOVING, VERSION};

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
    for (index, rule) in spec.triggers.iter().enumerate() {
        let schedule = rule.schedule.as_ref();
        if let Some(problem) = schedule.and_then(|schedule| schedule::check(schedule).err()) {
            let path = format!("spec.triggers[{index}].schedule");
            problems.push(Invalid::new(path, problem));
        }
    }
    if let Some(rule) = &spec.definition {
        problems.extend(definition::rule_problems(rule));
    }
    pod::check(spec, &mut problems);
    made::check(spec, &mut problems);
    check_cells(spec, &mut problems);
    check_reports(spec, &mut problems);
    check_gates(spec, &mut problems);
    problems
}

/// Whether a run of a ref makes a Release, where all of its stages have passed.
pub fn may_release(spec: &PipelineSpec, git_ref: &str) -> bool {
    let is_meant = match refs::tag_of(git_ref) {
        Some(tag) => {
            let when = spec.release.when.as_ref();
            let tags = when.and_then(|when| when.tags.as_deref());
            tags.is_some_and(|glob| glob::matches(glob, tag))
        }
        None => git_ref == format!("refs/heads/{}", spec.release_branch()),
    };
    spec.release.enabled && is_meant
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
    for name in &stage.needs {
        let other = spec.stages.iter().find(|other| other.name == *name);
        if other.is_some_and(|other| other.always() != stage.always()) {
            let problem = format!(
                "{name} and {} cannot wait for each other: the one with always: true runs after \
                 all the others anyway",
                stage.name
            );
            problems.push(Invalid::new(path(".needs"), problem));
        }
    }
    if let Some(problem) = stage
        .when
        .as_deref()
        .and_then(|w| condition::check(w, &spec.params).err())
    {
        let problem = format!("not a usable CEL expression: {problem}");
        problems.push(Invalid::new(path(".when"), problem));
    }
    check_work(spec, stage, &path, problems);
    if let Some(matrix) = &stage.matrix {
        check_matrix(spec, stage, matrix, &path, problems);
    }
}

fn check_work(
    spec: &PipelineSpec,
    stage: &Stage,
    path: &dyn Fn(&str) -> String,
    problems: &mut Vec<Invalid>,
) {
    if stage.type_.is_script() {
        let by_matrix = stage
            .matrix
            .as_ref()
            .and_then(|matrix| matrix.image.as_ref());
        let is_made = stage.image_from.is_some();
        if spec.image(stage, None).is_none() && by_matrix.is_none() && !is_made {
            let problem = format!(
                "a {} stage needs an image: set it here or in spec.defaults.image, or imageFrom",
                stage.type_
            );
            problems.push(Invalid::new(path(".image"), problem));
        }
        if stage.run.is_none() {
            let problem = format!("a {} stage needs run: the script to run", stage.type_);
            problems.push(Invalid::new(path(".run"), problem));
        }
    } else if stage.type_ == StageType::Preview {
        if stage.preview.is_none() {
            let problem =
                "a Preview stage needs preview: the Environment whose preview it waits for";
            problems.push(Invalid::new(path(".preview"), problem));
        }
    } else if stage.type_ == StageType::Tag {
        check_tag(spec, stage, path, problems);
    } else if stage.type_ == StageType::Release {
        version::check_stage(spec, stage, path, problems);
    } else if !stage.type_.has_source() {
        problems.extend(supply::problems(spec, stage, path));
    } else {
        if stage.build.is_none() {
            let problem = "a Build stage needs build: what to build and where to push it";
            problems.push(Invalid::new(path(".build"), problem));
        }
        if stage.matrix.is_some() {
            let problem = "a Build stage takes no matrix: make a stage for each image";
            problems.push(Invalid::new(path(".matrix"), problem));
        }
    }
}

/// What has a tag has to be built.
fn check_tag(
    spec: &PipelineSpec,
    stage: &Stage,
    path: &dyn Fn(&str) -> String,
    problems: &mut Vec<Invalid>,
) {
    let Some(tag) = &stage.tag else {
        let problem = "a Tag stage needs tag: the names that images are to have";
        problems.push(Invalid::new(path(".tag"), problem));
        return;
    };
    let builds = spec.stages.iter().filter(|stage| stage.build.is_some());
    let known: Vec<&str> = builds.map(|stage| stage.name.as_str()).collect();
    for name in &tag.images {
        if !known.contains(&name.as_str()) {
            let problem = format!(
                "no Build stage is called {name}; there are {}",
                known.join(", ")
            );
            problems.push(Invalid::new(path(".tag.images"), problem));
        }
    }
    for name in &tag.names {
        let part = MOVING.iter().find(|(part, _)| name.contains(part));
        let whole = part.map(|(part, _)| name.replacen(part, VERSION, 1));
        if let Some(whole) = whole.filter(|whole| !tag.names.contains(whole)) {
            let problem = format!(
                "{name} moves from version to version, and only {whole} tells which ones there are; add it"
            );
            problems.push(Invalid::new(path(".tag.names"), problem));
        }
    }
    if known.is_empty() {
        let problem = "there is no Build stage whose image could have a tag";
        problems.push(Invalid::new(path(".tag"), problem));
    }
}

fn check_matrix(
    spec: &PipelineSpec,
    stage: &Stage,
    matrix: &Matrix,
    path: &dyn Fn(&str) -> String,
    problems: &mut Vec<Invalid>,
) {
    let mut wrong = |field: &str, problem: String| {
        problems.push(Invalid::new(path(&format!(".matrix{field}")), problem));
    };
    for axis in matrix.axes.keys() {
        if !is_axis(axis) {
            let problem = format!(
                "{axis} cannot be the name of an axis: start with a letter a-z, and use at most 32 \
                 of a-z, 0-9 and _"
            );
            wrong(".axes", problem);
        }
    }
    let knows = |values: &AxisValues| values.keys().all(|axis| matrix.axes.contains_key(axis));
    if !matrix.exclude.iter().all(knows) {
        wrong(".exclude", "may only name axes of this matrix".to_owned());
    }
    let is_whole = |values: &AxisValues| values.len() == matrix.axes.len() && knows(values);
    if !matrix.include.iter().all(is_whole) {
        let problem = "each entry must give every axis of this matrix a value, and name no other";
        wrong(".include", problem.to_owned());
    }
    let combinations = matrix::combinations_of(matrix);
    if combinations > matrix::MAX_COMBINATIONS {
        let problem = format!(
            "the axes have {combinations} combinations, more than {} even before any are left out; \
             make them shorter",
            matrix::MAX_COMBINATIONS
        );
        wrong(".axes", problem);
        return;
    }
    let cells = matrix::cells(stage);
    if cells.is_empty() {
        let problem = "leaves out every combination; leave out fewer, or take the stage out";
        wrong(".exclude", problem.to_owned());
    }
    if let Some(by_value) = &matrix.image {
        let without = cells
            .iter()
            .find(|cell| matrix.image(&cell.values).is_none());
        if let Some(cell) = without {
            let problem = format!(
                "there is no image for cell {}; name one for every value of axis {}",
                cell.name, by_value.axis
            );
            wrong(".image", problem);
        }
    }
    // The Job of a cell is called like the stage and a number, and so might be that of the other.
    let of_cell = |other: &&Stage| {
        let rest = other.name.strip_prefix(&stage.name);
        let number = rest.and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if let Some(other) = spec.stages.iter().find(of_cell) {
        let problem = format!(
            "stage {} is called like a cell of it; rename one of the two",
            other.name
        );
        wrong("", problem);
    }
}

fn is_axis(name: &str) -> bool {
    let is_of_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(is_of_name)
}

/// The status of a run names all its cells: it has to stay small.
fn check_cells(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    let count = matrix::cells_of_all(spec);
    if count > matrix::MAX_CELLS {
        let problem = format!(
            "the matrices of all stages have {count} cells together, more than {}; leave some out",
            matrix::MAX_CELLS
        );
        problems.push(Invalid::new("spec.stages", problem));
    }
}

fn check_reports(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    for (index, stage) in spec.stages.iter().enumerate() {
        let unknown = stage.reports.iter().flat_map(Reports::unknown_optional);
        problems.extend(unknown.map(|glob| {
            let path = format!("spec.stages[{index}].reports.optional");
            let problem = format!(
                "{glob} is no report of the stage; list it by its format as well, or take it out"
            );
            Invalid::new(path, problem)
        }));
    }
}

fn check_gates(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    for (index, gate) in spec.gates.iter().enumerate() {
        let path = format!("spec.gates[{index}]");
        if let Some(problem) = gate.cel.as_deref().and_then(gate_expression::problem) {
            problems.push(Invalid::new(format!("{path}.cel"), problem));
        }
        match source::missing(gate, &spec.stages) {
            None => {}
            Some(Missing::Check) => {
                problems.push(Invalid::new(path, "a gate needs a check: set one of them"));
            }
            // The repository may have the stage.
            Some(Missing::Report(..)) if spec.definition.is_some() && gate.from.is_empty() => {}
            Some(Missing::Report(check, wanted)) => {
                let problem = format!(
                    "no stage leaves a report that it could judge; set {wanted} on the stage whose \
                     reports it judges"
                );
                problems.push(Invalid::new(format!("{path}.{check}"), problem));
            }
        }
    }
    for (index, waiver) in spec.waivers.iter().enumerate() {
        if waiver::last_day(waiver).is_none() {
            let problem = "must be a day, such as 2026-12-31";
            let path = format!("spec.waivers[{index}].until");
            problems.push(Invalid::new(path, problem));
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

/// The stages that a stage needs, directly or over others.
pub fn before<'a>(spec: &'a PipelineSpec, stage: &'a Stage) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&Stage> = vec![stage];
    while let Some(stage) = open.pop() {
        for name in &stage.needs {
            if found.insert(name) {
                open.extend(spec.stages.iter().find(|other| other.name == *name));
            }
        }
    }
    found
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
    fn a_report_that_may_be_missing_is_one_of_the_stage() {
        let mut stage = test("a", &[]);
        stage["reports"] = json!({"sarif": ["a.sarif", "b.sarif"], "optional": ["b.sarif"]});
        assert_eq!(said(with_stages(&[stage.clone()])), "");
        stage["reports"]["optional"] = json!(["c.sarif"]);
        assert_eq!(
            said(with_stages(&[stage])),
            "spec.stages[0].reports.optional: c.sarif is no report of the stage; list it by its format as well, or take it out"
        );
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
    fn always_stages_wait_only_for_each_other() {
        let always = |name: &str, needs: &[&str]| {
            let mut stage = test(name, needs);
            stage["always"] = json!(true);
            stage
        };
        let fine = [test("a", &[]), always("b", &[]), always("c", &["b"])];
        assert_eq!(said(with_stages(&fine)), "");
        let wrong = [test("a", &["b"]), always("b", &[])];
        assert!(said(with_stages(&wrong)).contains("stages[0].needs: b and a cannot wait"));
        let wrong = [test("a", &[]), always("b", &["a"])];
        assert!(said(with_stages(&wrong)).contains("stages[1].needs: a and b cannot wait"));
    }

    #[test]
    fn a_condition_is_tried_out() {
        let mut stage = test("a", &[]);
        stage["when"] = json!("branch == 'main'");
        assert_eq!(said(with_stages(&[stage.clone()])), "");
        stage["when"] = json!("title == 'v1'");
        let said = said(with_stages(&[stage]));
        assert!(
            said.starts_with("spec.stages[0].when: not a usable CEL expression: there is no title")
        );
    }

    #[test]
    fn a_matrix_is_checked_as_a_whole() {
        let values: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        for (matrix, says) in [
            (json!({"axes": {"py": ["3"]}}), ""),
            (
                json!({"axes": {"PY": ["3"]}}),
                "PY cannot be the name of an axis",
            ),
            (
                json!({"axes": {"py": ["3"]}, "exclude": [{"go": "1"}]}),
                "matrix.exclude: may only",
            ),
            (
                json!({"axes": {"py": ["3"]}, "exclude": [{"py": "3"}]}),
                "leaves out every",
            ),
            (
                json!({"axes": {"py": ["3"], "a": ["1"]}, "include": [{"py": "3"}]}),
                "every axis",
            ),
            (
                json!({"axes": {"a": values, "b": values}}),
                "289 cells together",
            ),
            (
                json!({"axes": {"a": values, "b": values, "c": values}}),
                "4913 combinations",
            ),
            (
                json!({"axes": {"py": ["3"]}, "include": [{"py": "4"}],
                    "image": {"axis": "py", "images": {"3": "i"}}}),
                "no image for cell 4",
            ),
        ] {
            let mut stage = test("a", &[]);
            stage["matrix"] = matrix.clone();
            let said = said(with_stages(&[stage]));
            assert!(
                said.contains(says) && said.is_empty() == says.is_empty(),
                "{matrix}: {said}"
            );
        }
        let mut stage = test("a", &[]);
        stage["matrix"] = json!({"axes": {"py": ["3"]}});
        assert!(
            said(with_stages(&[stage, test("a-12", &[])])).contains("a-12 is called like a cell")
        );
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
