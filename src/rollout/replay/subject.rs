//! What is replayed: the analysis of a Rollout, or that of an AnalysisTemplate by itself, with what is known of the
//! revisions of then. No I/O.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde::Serialize;

use super::Consequences;
use crate::analysis::api::Metric;
use crate::analysis::template::Templates;
use crate::metric::history;
use crate::metric::placeholder::{self, Placeholder, Sides};
use crate::model::invalid::Invalid;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::secret::SecretKey;
use crate::rollout::adopt::standing_in;
use crate::rollout::api::{FailureReason, Rollout, TemplateReference};
use crate::rollout::render::{pods_of_any_revision, pods_pattern};
use crate::rollout::simulation::placeholders;
use crate::rollout::spec::{Analysis, Around, Spec};
use crate::traffic::Side;

/// What is replayed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace and name.
    pub key: Key,
    /// What it measures.
    pub analysis: Analysis,
    /// What follows from its verdicts.
    pub consequences: Consequences,
    /// What it goes by besides metrics.
    pub slos: Vec<String>,
}

/// What is known of one revision of then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The revision.
    pub revision: Option<String>,
    /// A regular expression that matches its pods.
    pub pods: Option<String>,
}

/// What is known of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSides {
    /// The one that was on its way.
    pub canary: Known,
    /// The one that served.
    pub stable: Known,
}

/// Something that is not replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Name of a metric, of an SLO, or of a header field that is not sent.
    pub name: String,
    /// Why.
    pub because: String,
}

/// Header fields that only the operator can send.
fn secret_headers(metric: &Metric, secrets: &BTreeSet<SecretKey>) -> Vec<LeftOut> {
    let provider = &metric.provider;
    let query = provider.prometheus.iter().map(|query| &query.connection);
    let compared = provider.compare.iter().map(|of| &of.prometheus.connection);
    let headers = query.chain(compared).flat_map(|to| &to.headers);
    let is_argument = |value: &String| secrets.iter().any(|key| value.contains(&key.to_string()));
    let secret = headers.filter(|header| {
        header.secret_ref.is_some() || header.value.as_ref().is_some_and(is_argument)
    });
    let left_out = secret.map(|header| LeftOut {
        name: format!("header field {} of {}", header.name, metric.name),
        because: "its value is in a Secret, and Secrets are not read here".to_owned(),
    });
    left_out.collect()
}

/// Arguments are not given by a Rollout here.
fn at_the_flag(problems: Vec<Invalid>) -> Vec<Invalid> {
    let problems = problems.into_iter().map(|wrong| Invalid {
        path: if wrong.path.contains(".args") {
            "--arg"
        } else {
            "spec"
        }
        .to_owned(),
        ..wrong
    });
    problems.collect()
}

impl Subject {
    /// The analysis of a Rollout, with the AnalysisTemplates that are known.
    ///
    /// # Errors
    /// Everything that is wrong with its spec.
    pub fn of_rollout(rollout: &Rollout, templates: &Templates) -> Result<Self, Vec<Invalid>> {
        let around = Around {
            templates: templates.clone(),
            ..Around::of(rollout)
        };
        let images = placeholders(&rollout.spec);
        let spec = Spec::parse_with(&standing_in(&rollout.spec), &images, &around)?;
        let slos = rollout
            .spec
            .analysis
            .as_ref()
            .map(|analysis| analysis.slos.clone());
        let Some(analysis) = spec.analysis else {
            let problem = "is missing, so there is nothing to replay: give metrics, or templates";
            return Err(vec![Invalid::new("spec.analysis", problem)]);
        };
        Ok(Self {
            kind: ObjectKind::Rollout,
            key: around.key,
            analysis,
            consequences: Consequences {
                rollback_on: spec.rollback_on,
                patience: Some(spec.progress_deadline),
            },
            slos: slos.unwrap_or_default(),
        })
    }

    /// The metrics of an AnalysisTemplate, with these arguments.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn of_template(
        name: &str,
        args: BTreeMap<String, String>,
        templates: &Templates,
    ) -> Result<Self, Vec<Invalid>> {
        let reference = TemplateReference {
            name: name.to_owned(),
            args,
        };
        let template = templates.get(name);
        let namespace = template.and_then(|template| template.namespace());
        Ok(Self {
            kind: ObjectKind::AnalysisTemplate,
            key: Key::new(namespace.unwrap_or_default(), name),
            analysis: Analysis::of_template(&reference, templates).map_err(at_the_flag)?,
            consequences: Consequences {
                rollback_on: FailureReason::ALL.iter().copied().collect(),
                patience: None,
            },
            slos: Vec::new(),
        })
    }

    /// Fills in what is known of the revisions of then, and takes out what cannot be replayed.
    pub fn prepare(&mut self, known: &KnownSides) -> Vec<LeftOut> {
        let sides = Sides {
            canary: self.side(&known.canary),
            stable: self.side(&known.stable),
        };
        let mut left_out = Vec::new();
        let mut metrics = Vec::new();
        for (metric, interval) in std::mem::take(&mut self.analysis.metrics) {
            match self.usable(&metric, known, &sides) {
                Ok(()) => metrics.push((sides.filled(&metric), interval)),
                Err(because) => left_out.push(LeftOut {
                    name: metric.name,
                    because,
                }),
            }
        }
        left_out.extend(
            metrics
                .iter()
                .flat_map(|(metric, _)| secret_headers(metric, &self.analysis.secrets)),
        );
        self.analysis.metrics = metrics;
        left_out.extend(self.slos.iter().map(|slo| LeftOut {
            name: format!("SLO {slo}"),
            because: "SLOs are not replayed yet".to_owned(),
        }));
        left_out
    }

    /// One side, as far as it is known: any pods of a Rollout may be meant.
    fn side(&self, known: &Known) -> placeholder::Subject {
        let revision = known.revision.clone().unwrap_or_default();
        let of_rollout = || match &known.revision {
            Some(revision) => pods_pattern(&self.key.name, &Revision::from_label(revision)),
            None => pods_of_any_revision(&self.key.name),
        };
        placeholder::Subject {
            pods: known.pods.clone().unwrap_or_else(of_rollout),
            revision,
            images: BTreeMap::new(),
        }
    }

    /// Whether a metric can be replayed; else why not.
    fn usable(&self, metric: &Metric, known: &KnownSides, sides: &Sides) -> Result<(), String> {
        history::check(metric)?;
        let of = |side: &Side| match side {
            Side::Canary => ("canary", &known.canary),
            Side::Stable => ("stable", &known.stable),
        };
        let named = RefCell::new(BTreeSet::new());
        let value = |name: &str, _: &str| {
            match Placeholder::named(name) {
                Some(Placeholder::Pods(side)) => {
                    let (word, known) = of(&side);
                    named.borrow_mut().insert(word);
                    let is_template = self.kind == ObjectKind::AnalysisTemplate;
                    if is_template && known.pods.is_none() {
                        return Err(format!("say which pods these were with --{word}-pods"));
                    }
                }
                Some(Placeholder::Revision(side)) => {
                    let (word, known) = of(&side);
                    if known.revision.is_none() {
                        return Err(format!("say which revision that was with --{word}"));
                    }
                }
                Some(Placeholder::Image(..)) => {
                    return Err("which image that was is not known".to_owned());
                }
                Some(
                    Placeholder::Name
                    | Placeholder::Namespace
                    | Placeholder::Label(_)
                    | Placeholder::Argument(_),
                )
                | None => {}
            }
            Ok(None)
        };
        let checked: Result<Metric, _> = placeholder::filled(metric, "", &value);
        checked.map_err(|wrong| wrong.to_string())?;
        if named.borrow().len() == 2 && sides.canary.pods == sides.stable.pods {
            return Err(
                "it is about canary and stable, and both are taken for the same pods: say which \
                 revisions these were with --canary and --stable, or which pods with \
                 --canary-pods and --stable-pods"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
