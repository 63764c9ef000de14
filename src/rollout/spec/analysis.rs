//! What is measured: the Rollout's own metrics and those of the AnalysisTemplates that it names, as one list. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::super::api::{self, RolloutSpec, Tally, TemplateReference};
use super::{Around, Invalid};
use crate::analysis::api::Metric;
use crate::analysis::template::{self, Templates};
use crate::metric::judge::{self, Verdict};
use crate::metric::placeholder::{self, Owner, Placeholder};
use crate::metric::provider;
use crate::model::secret::SecretKey;
use crate::model::span::after;
use crate::model::weight::Weight;

/// Most metrics of a Rollout, with those of its templates: as many as its status has room for.
const MAX_METRICS: usize = 20;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Smallest weight at which measuring in the background begins.
    pub start_at: Weight,
    /// Time before the first sample; `None`: the metric's interval.
    pub initial_delay: Option<Duration>,
    /// The metrics, each with the time between two samples.
    pub metrics: Vec<(Metric, Duration)>,
    /// Arguments of its templates that come from Secrets: what their placeholders in the metrics stand for.
    pub secrets: BTreeSet<SecretKey>,
}

impl Analysis {
    /// The metrics of a template by itself, with these arguments. What a Rollout would say of itself is not known.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn of_template(
        reference: &TemplateReference,
        templates: &Templates,
    ) -> Result<Self, Vec<Invalid>> {
        let value = |of: &Placeholder| {
            match of {
            Placeholder::Name | Placeholder::Namespace | Placeholder::Label(_) => {
                Err("is said by a Rollout that names the template: test that one, or give the argument that says it".to_owned())
            }
            Placeholder::Argument(_) => Err("is no argument of the template".to_owned()),
            Placeholder::Pods(_) | Placeholder::Revision(_) | Placeholder::Image(..) => Ok(None),
        }
        };
        let mut problems = Vec::new();
        let found = of_template(reference, "arguments", templates)?;
        let metrics = told_apart(found, &value, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            start_at: Weight::new(1).unwrap_or_default(),
            initial_delay: None,
            metrics: timed(metrics, Metric::INTERVAL),
            secrets: template::secrets(reference, templates)
                .into_iter()
                .collect(),
        })
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        let mut metrics = self.metrics.iter().map(|(metric, _)| metric);
        metrics.find(|metric| metric.name == name)
    }

    /// When a metric is measured next, by the time between two of its samples: a delay after measuring began, and an
    /// interval after the last sample.
    pub fn due(&self, interval: Duration, since: Timestamp, last: Option<Timestamp>) -> Timestamp {
        match last {
            Some(last) => after(last, interval),
            None => after(since, self.initial_delay.unwrap_or(interval)),
        }
    }

    /// When the time begins that the samples of a metric are about. An initial delay leaves out what came before it, but for
    /// the interval that the first sample is about.
    pub fn begin(&self, interval: Duration, since: Timestamp) -> Timestamp {
        let delay = self.initial_delay.unwrap_or(interval);
        after(since, delay.saturating_sub(interval))
    }

    /// Why the counts end a change, if they do: the first bad verdict of a metric that decides something.
    pub fn failure(&self, tallies: &[Tally]) -> Option<String> {
        self.deciding().find_map(|metric| {
            let tally = Tally::among(tallies, &metric.name)?;
            match judge::verdict(metric, tally) {
                Verdict::Bad(message) => Some(message),
                Verdict::Good | Verdict::Undecided => None,
            }
        })
    }

    /// The metrics that decide something.
    pub fn deciding(&self) -> impl Iterator<Item = &Metric> {
        let metrics = self.metrics.iter().map(|(metric, _)| metric);
        metrics.filter(|metric| !metric.is_dry_run())
    }
}

/// A metric, and where it stands.
struct Found {
    metric: Metric,
    /// The field that is to be edited, or that names the template that is.
    path: String,
    /// Where in it, for a template.
    within: Option<String>,
}

impl Found {
    /// Something that is wrong with a field of the metric, or with all of it.
    fn problem(&self, field: &str, problem: &str) -> Invalid {
        let dot = if field.is_empty() { "" } else { "." };
        match &self.within {
            Some(within) => Invalid::new(&self.path, format!("{within}{dot}{field}: {problem}")),
            None => Invalid::new(format!("{}{dot}{field}", self.path), problem),
        }
    }
}

/// Reads what is measured. What is wrong is told, and left out.
pub(super) fn parse(
    raw: &RolloutSpec,
    around: &Around,
    images: &BTreeMap<String, String>,
    problems: &mut Vec<Invalid>,
) -> Option<Analysis> {
    let analysis = raw.analysis.as_ref()?;
    let owner = Owner {
        key: &around.key,
        labels: &around.labels,
        containers: images.keys().map(String::as_str).collect(),
    };
    let value = |of: &Placeholder| owner.value(of);
    let metrics = told_apart(all(analysis, around, problems), &value, problems);
    let interval = analysis.interval.map_or(Metric::INTERVAL, Duration::from);
    let start_at = analysis.start_at.as_ref();
    let start_at = start_at.and_then(|at| Weight::new(i64::from(at.weight)));
    Some(Analysis {
        start_at: start_at.or(Weight::new(1)).unwrap_or_default(),
        initial_delay: analysis.initial_delay.map(Duration::from),
        metrics: timed(metrics, interval),
        secrets: analysis
            .templates
            .iter()
            .flat_map(|reference| template::secrets(reference, &around.templates))
            .collect(),
    })
}

/// Metrics with the time between two samples: their own, or this one.
fn timed(metrics: Vec<Metric>, interval: Duration) -> Vec<(Metric, Duration)> {
    let metrics = metrics.into_iter().map(|metric| {
        let own = metric.interval.map(Duration::from);
        (metric, own.unwrap_or(interval))
    });
    metrics.collect()
}

/// The metrics that can be used, with what is known already filled in. What is wrong with the others is told.
fn told_apart(all: Vec<Found>, value: &Known<'_>, problems: &mut Vec<Invalid>) -> Vec<Metric> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut metrics = Vec::new();
    for found in all {
        let name = found.metric.name.clone();
        if let Some(before) = names.get(&name) {
            let problem = format!(
                "there is a metric {name} in {before} already; names tell metrics apart, so rename one of them"
            );
            problems.push(found.problem("name", &problem));
            continue;
        }
        names.insert(name, found.path.clone());
        match usable(&found, value) {
            Ok(metric) => metrics.push(metric),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if metrics.len() > MAX_METRICS {
        let problem = format!(
            "{} metrics with those of the templates; at most {MAX_METRICS} are measured",
            metrics.len()
        );
        problems.push(Invalid::new("spec.analysis", problem));
        metrics.truncate(MAX_METRICS);
    }
    metrics
}

/// Its own metrics, then those of its templates.
fn all(analysis: &api::Analysis, around: &Around, problems: &mut Vec<Invalid>) -> Vec<Found> {
    let own = analysis.metrics.iter().enumerate();
    let mut all: Vec<Found> = own
        .map(|(index, metric)| Found {
            metric: metric.clone(),
            path: format!("spec.analysis.metrics[{index}]"),
            within: None,
        })
        .collect();
    for (index, reference) in analysis.templates.iter().enumerate() {
        let path = format!("spec.analysis.templates[{index}]");
        match of_template(reference, &path, &around.templates) {
            Ok(metrics) => all.extend(metrics),
            Err(wrong) => problems.extend(wrong),
        }
    }
    all
}

/// The metrics of a template that is named at `path`.
fn of_template(
    reference: &TemplateReference,
    path: &str,
    templates: &Templates,
) -> Result<Vec<Found>, Vec<Invalid>> {
    let metrics = template::metrics(reference, path, templates)?;
    let found = metrics
        .into_iter()
        .enumerate()
        .map(|(index, metric)| Found {
            metric,
            path: path.to_owned(),
            within: Some(template::within(&reference.name, index)),
        });
    Ok(found.collect())
}

/// What stands in the place of a placeholder, as far as that is known already.
type Known<'a> = dyn Fn(&Placeholder) -> Result<Option<String>, String> + 'a;

/// A metric with what the Rollout says of itself filled in, if it can be used.
fn usable(found: &Found, value: &Known<'_>) -> Result<Metric, Vec<Invalid>> {
    let value = |name: &str, _: &str| match Placeholder::named(name) {
        Some(placeholder) => value(&placeholder),
        None => Err(format!(
            "there is no such placeholder; there are {}",
            placeholder::KNOWN
        )),
    };
    let metric = placeholder::filled(&found.metric, "", &value).map_err(|wrong| {
        let field = wrong.path.trim_start_matches('.');
        vec![found.problem(field, &wrong.to_string())]
    })?;
    let unusable = provider::check(&metric).err().into_iter();
    let unusable =
        unusable.map(|(field, problem)| found.problem(field.trim_start_matches('.'), &problem));
    let conditions = metric.conditions().filter_map(|(field, text)| {
        let problem = judge::check(text).err()?;
        let problem = format!("not a usable CEL expression: {problem}");
        Some(found.problem(field, &problem))
    });
    let wrong: Vec<Invalid> = unusable.chain(conditions).collect();
    if wrong.is_empty() {
        Ok(metric)
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests;
