//! Which cells a stage has. No I/O.

use std::collections::BTreeSet;

use super::api::{AxisValues, Build, Matrix, PipelineSpec, Stage};

/// Cells that all stages of a Pipeline have together, at most.
pub const MAX_CELLS: usize = 256;
/// Combinations of values that are looked at, before any are left out.
pub const MAX_COMBINATIONS: usize = 4096;
/// Longest name of a cell, but for what keeps it apart from another.
const MAX_NAME: usize = 40;

/// One cell of a stage: a Job of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its number, from 1.
    pub number: usize,
    /// Its name, made of its values: fit for a label, and unique in the stage.
    pub name: String,
    /// Its value on each axis.
    pub values: AxisValues,
}

/// The cells of a stage; none for a stage that is one Job.
///
/// # Guarantees
/// - The same spec has the same cells in the same order.
/// - Names differ from each other and are values of labels.
/// - At most [`MAX_COMBINATIONS`] and what is included, whatever the spec says.
pub fn cells(stage: &Stage) -> Vec<Cell> {
    let Some(matrix) = &stage.matrix else {
        let build = stage.build.as_ref().filter(|build| build.is_index());
        return build.map(platforms).unwrap_or_default();
    };
    let mut taken = BTreeSet::new();
    let combinations = combinations(matrix).into_iter().enumerate();
    let cell = |(index, values): (usize, AxisValues)| {
        let number = index + 1;
        let name = name(&values, number, &taken);
        taken.insert(name.clone());
        Cell {
            number,
            name,
            values,
        }
    };
    combinations.map(cell).collect()
}

/// Name of the cell that joins the images of several platforms.
pub const INDEX: &str = "index";
/// What stands for an axis where cells are platforms.
const PLATFORM: &str = "platform";

impl Cell {
    /// The platform that it builds.
    pub fn platform(&self) -> Option<&str> {
        self.values.get(PLATFORM).map(String::as_str)
    }
}

/// A cell for each platform, and one that joins what they have built.
fn platforms(build: &Build) -> Vec<Cell> {
    let of_platform = |platform: &String| Cell {
        number: 0,
        name: platform.replace('/', "-"),
        values: AxisValues::from([(PLATFORM.to_owned(), platform.clone())]),
    };
    let index = Cell {
        name: INDEX.to_owned(),
        ..Cell::default()
    };
    let cells = build.platforms.iter().map(of_platform).chain([index]);
    let numbered = cells.zip(1..);
    numbered
        .map(|(cell, number)| Cell { number, ..cell })
        .collect()
}

/// How many combinations the axes have, whatever is left out of them.
pub fn combinations_of(matrix: &Matrix) -> usize {
    let counts = matrix.axes.values().map(Vec::len);
    counts.fold(1, usize::saturating_mul)
}

/// How many cells all stages have together; one that is a single Job has none.
pub fn cells_of_all(spec: &PipelineSpec) -> usize {
    spec.stages.iter().map(|stage| cells(stage).len()).sum()
}

fn combinations(matrix: &Matrix) -> Vec<AxisValues> {
    let mut found = vec![AxisValues::new()];
    for (axis, values) in &matrix.axes {
        let longer = found.iter().flat_map(|known| {
            values.iter().map(|value| {
                let mut known = known.clone();
                known.insert(axis.clone(), value.clone());
                known
            })
        });
        found = longer.take(MAX_COMBINATIONS).collect();
    }
    let is_excluded = |values: &AxisValues| {
        matrix.exclude.iter().any(|entry| {
            let mut wanted = entry.iter();
            wanted.all(|(axis, value)| values.get(axis) == Some(value))
        })
    };
    found.retain(|values| !is_excluded(values));
    for values in &matrix.include {
        if !found.contains(values) {
            found.push(values.clone());
        }
    }
    found
}

fn name(values: &AxisValues, number: usize, taken: &BTreeSet<String>) -> String {
    let values: Vec<&str> = values.values().map(String::as_str).collect();
    let whole = values.join("-");
    let of_label = |c: char| {
        let is_fine = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if is_fine { c } else { '-' }
    };
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    let short: String = whole.chars().map(of_label).take(MAX_NAME).collect();
    let short = short.trim_matches(is_edge);
    if !short.is_empty() && short == whole && !taken.contains(short) {
        return short.to_owned();
    }
    // What was changed may be the same as what another one is called, and so may the number.
    let mut name = format!("{short}-{number}").trim_matches(is_edge).to_owned();
    while taken.contains(&name) {
        name.push('x');
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn stage(matrix: &Value) -> Stage {
        let stage = json!({"name": "unit", "type": "Test", "run": "true", "matrix": matrix});
        serde_json::from_value(stage).unwrap()
    }

    fn names(matrix: &Value) -> Vec<String> {
        let cells = cells(&stage(matrix));
        cells.into_iter().map(|cell| cell.name).collect()
    }

    #[test]
    fn each_platform_is_a_cell_and_the_last_one_joins_them() {
        let of = |platforms: Value| {
            let build = json!({"image": "r.example/a", "platforms": platforms});
            let stage = json!({"name": "image", "type": "Build", "build": build});
            cells(&serde_json::from_value(stage).unwrap())
        };
        let found = of(json!(["linux/amd64", "linux/arm64/v8"]));
        let names: Vec<&str> = found.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(names, ["linux-amd64", "linux-arm64-v8", INDEX]);
        assert_eq!(found[1].platform(), Some("linux/arm64/v8"));
        assert_eq!((found[2].platform(), found[2].number), (None, 3));
        assert_eq!(
            of(json!(["linux/arm64"])),
            [],
            "one platform is a single Job"
        );
    }

    #[test]
    fn every_combination_is_a_cell_but_those_left_out() {
        let matrix = json!({
            "axes": {"python": ["3.9", "3.11"], "db": ["postgres", "mysql"]},
            "exclude": [{"python": "3.9", "db": "mysql"}],
            "include": [{"python": "3.14", "db": "postgres"}, {"python": "3.9", "db": "postgres"}],
        });
        assert_eq!(
            names(&matrix),
            [
                "postgres-3.9",
                "postgres-3.11",
                "mysql-3.11",
                "postgres-3.14"
            ]
        );
        let cells = cells(&stage(&matrix));
        assert_eq!(cells[2].number, 3);
        assert_eq!(cells[2].values["python"], "3.11");
    }

    #[test]
    fn a_stage_without_matrix_has_no_cells() {
        let stage = json!({"name": "unit", "type": "Test", "run": "true"});
        assert_eq!(cells(&serde_json::from_value(stage).unwrap()), []);
    }

    #[test]
    fn names_that_labels_do_not_take_are_made_fit_and_stay_apart() {
        let long = "x".repeat(100);
        let other = format!("{}y", "x".repeat(99));
        let matrix =
            json!({"axes": {"a": ["$(rm -rf /)", "a b", "a-b", "a-b-2", "ä", long, other]}});
        let names = names(&matrix);
        assert_eq!(names[..4], ["rm--rf-1", "a-b-2", "a-b", "a-b-2-4"]);
        assert_eq!(names[4], "5");
        assert_ne!(names[5], names[6]);
    }

    #[test]
    fn a_matrix_without_end_is_cut() {
        let values: Vec<String> = (0..64).map(|n| n.to_string()).collect();
        let matrix = json!({"axes": {
            "a": values, "b": values, "c": values, "d": values, "e": values, "f": values,
        }});
        assert_eq!(cells(&stage(&matrix)).len(), MAX_COMBINATIONS);
        let stage = stage(&matrix);
        assert_eq!(
            combinations_of(stage.matrix.as_ref().unwrap()),
            64usize.pow(6)
        );
    }

    proptest! {
        #[test]
        fn names_are_labels_and_differ(
            values in proptest::collection::btree_set("\\PC{1,60}", 1..20),
            more in proptest::collection::btree_set("[-a.]{1,3}", 1..8),
        ) {
            let names = names(&json!({"axes": {"a": values, "b": more}}));
            let different: BTreeSet<&String> = names.iter().collect();
            prop_assert_eq!(different.len(), names.len());
            for name in &names {
                prop_assert!(name.len() <= 63 && !name.is_empty(), "{name}");
                let edges = [name.chars().next(), name.chars().last()];
                prop_assert!(edges.iter().flatten().all(char::is_ascii_alphanumeric), "{name}");
                let fine = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
                prop_assert!(name.chars().all(fine), "{name}");
            }
        }
    }
}
