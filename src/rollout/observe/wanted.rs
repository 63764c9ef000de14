//! What is to run: what people wrote, with what its Environment says. Reads caches.

use super::super::api::{Progress, Rollout};
use super::super::binding::{self, Binding};
use super::super::observed::{Set, Wanted};
use super::super::spec::{Around, Images, Invalid, Spec};
use super::super::template::{self, Kept, Offer};
use super::templates;
use crate::cluster::Cluster;
use crate::model::key::Key;

/// What is said of a Rollout that keeps its template for others.
const BEHIND: &str =
    "its template comes once the Rollouts that it depends on in its Environment are healthy";

/// What is to run, and who asks for it.
pub(super) struct Asked {
    pub(super) wanted: Wanted,
    pub(super) promotion: Option<String>,
    pub(super) notice: Option<String>,
    pub(super) offer: Option<Offer>,
}

impl Asked {
    fn of(wanted: Wanted) -> Self {
        Self {
            wanted,
            promotion: None,
            notice: None,
            offer: None,
        }
    }
}

/// Finds that out.
pub(super) fn asked(
    rollout: &Rollout,
    cluster: &Cluster,
    sets: &[Set],
    (around, templates): (&Around, &[Kept]),
) -> Asked {
    let Some(source) = &rollout.spec.release else {
        return Asked::of(parse(rollout, &Images::new(), around));
    };
    let key = Key::of(rollout);
    let environment = Key::new(key.namespace, source.environment.name.clone());
    let environment = cluster.caches.environments.get(&environment);
    let environment = environment.as_deref();
    let last = binding::last_asked(source, rollout.status.as_ref(), sets);
    let offer = templates::offer(rollout, source, (around, environment, templates));
    let asked = match binding::bind(&key.name, source, environment, last) {
        Binding::Images {
            images,
            promotion,
            notice,
        } => {
            let last = binding::last_set(rollout.status.as_ref(), sets);
            let kept = last.and_then(|set| set.template.as_deref());
            let taken_in = environment.and_then(|it| template::taken_in(it, &key.name));
            let waits = environment.is_some_and(|it| binding::waits(&key.name, it));
            let worn = match (&notice, environment) {
                (None, Some(_)) => taken_in.map(|id| kept.filter(|_| waits).unwrap_or(id)),
                // What keeps its images keeps its template too.
                _ => kept,
            };
            let is_behind = notice.is_none() && worn != taken_in;
            let behind = is_behind.then(|| BEHIND.to_owned());
            let wanted = parse(rollout, &images, around);
            let dresser = templates::Dresser {
                rollout,
                images: &images,
                last: last.map(|set| &set.images),
                templates,
                offer: offer.as_ref(),
            };
            let (wanted, undressed) = dresser.dress(wanted, worn);
            Asked {
                promotion,
                notice: notice.or(behind).or(undressed),
                ..Asked::of(wanted)
            }
        }
        Binding::Nothing(why) => Asked::of(Wanted::NoRelease(why)),
        Binding::Invalid(problem) => {
            let (spec, _) = Spec::read_with(&rollout.spec, &Images::new(), around);
            Asked::of(invalid(vec![problem], spec, rollout))
        }
    };
    Asked { offer, ..asked }
}

fn parse(rollout: &Rollout, images: &Images, around: &Around) -> Wanted {
    let (spec, problems) = Spec::read_with(&rollout.spec, images, around);
    if problems.is_empty() {
        return Wanted::Spec(spec.into());
    }
    invalid(problems, spec, rollout)
}

/// What was asked for last is held, whatever the template says now.
pub(super) fn invalid(problems: Vec<Invalid>, spec: Spec, rollout: &Rollout) -> Wanted {
    let progress = rollout
        .status
        .as_ref()
        .and_then(|status| status.progress.as_ref());
    let asked = progress.and_then(Progress::asked);
    let held = asked.map(|revision| Box::new(spec.holding(revision.clone())));
    Wanted::Invalid(problems, held)
}
