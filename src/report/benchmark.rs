//! Reads benchmarks: a JSON list of `{name, value, unit, better, deviation}`. No I/O.

use serde::Deserialize;

use super::finding::printable;
use super::{ReportError, json};
use crate::pipeline_run::api::{Benchmark, Better};

/// Benchmarks of a stage.
pub const MAX_BENCHMARKS: usize = 40;

#[derive(Deserialize)]
struct Entry {
    name: String,
    value: f64,
    #[serde(default)]
    unit: String,
    better: Option<String>,
    deviation: Option<f64>,
}

const WANTED: &str = "report of benchmarks, which is a list of those with name and value";

/// Reads a report. Without `better`, smaller values are better, but for rates (a unit that ends in `/s`).
///
/// # Errors
/// If it cannot be read to its end, has more benchmarks than can be kept, or one that says nothing.
pub fn read(bytes: &[u8]) -> Result<Vec<Benchmark>, ReportError> {
    let entries: Vec<Entry> = json::read(bytes, WANTED)?;
    if entries.len() > MAX_BENCHMARKS {
        return Err(too_many());
    }
    entries.iter().map(benchmark).collect()
}

/// Why no more benchmarks are taken in: one that is left out would be one that may get worse unseen.
pub fn too_many() -> ReportError {
    ReportError::Large(format!("{MAX_BENCHMARKS} benchmarks"))
}

fn benchmark(entry: &Entry) -> Result<Benchmark, ReportError> {
    let name = printable(&entry.name, 96);
    if name.is_empty() {
        let problem = "a benchmark without a name".to_owned();
        return Err(ReportError::Nonsense(problem));
    }
    let better = match entry.better.as_deref() {
        None if entry.unit.ends_with("/s") => Better::Higher,
        None => Better::Lower,
        Some(word) if word.eq_ignore_ascii_case("lower") => Better::Lower,
        Some(word) if word.eq_ignore_ascii_case("higher") => Better::Higher,
        Some(word) => {
            let word = printable(word, 32);
            let problem = format!("benchmark {name}: better is {word}, not lower or higher");
            return Err(ReportError::Nonsense(problem));
        }
    };
    Ok(Benchmark {
        name,
        value: entry.value,
        unit: printable(&entry.unit, 16),
        better,
        deviation: entry.deviation.filter(|deviation| *deviation >= 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_get_better_upwards_and_times_downwards() {
        let json = br#"[{"name":"parse","value":12.5,"unit":"ms","deviation":0.4},{"name":"serve","value":9000,"unit":"req/s"},
            {"name":"score","value":1,"better":"HIGHER","extra":true}]"#;
        let found = read(json).unwrap();
        assert_eq!(found[0].better, Better::Lower);
        assert_eq!(found[0].deviation, Some(0.4));
        assert_eq!(found[1].better, Better::Higher);
        assert_eq!(found[2].better, Better::Higher);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert!(read(br#"[{"name":"","value":1}]"#).is_err());
        assert!(read(br#"[{"name":"a"}]"#).is_err());
        assert!(read(br#"[{"name":"a","value":1,"better":"sideways"}]"#).is_err());
        let many = vec![r#"{"name":"a","value":1}"#; 41].join(",");
        assert!(matches!(
            read(format!("[{many}]").as_bytes()),
            Err(ReportError::Large(_))
        ));
    }
}
