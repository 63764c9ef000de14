//! Where a Rollout's images come from: its template, or the Environment that it follows. No I/O.
//!
//! The link has two ends: the Rollout names the Environment, and the Environment lists the Rollout. What
//! runs is never given up because the Environment, or its status, is gone: then the Rollout keeps what it
//! was last asked for, and says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{ReleaseSource, RolloutStatus};
use super::observed::{Set, SloBurn};
use super::spec::{Images, Invalid};
use crate::environment::api::{Deployed, Environment, Severity};
use crate::model::label;
use crate::pipeline_run::api::Difference;
use crate::promotion::api::Promotion;
use crate::release::api::{ImageRef, Release};

/// Where images come from, and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// Images by container.
    Images {
        /// The images.
        images: Images,
        /// The Promotion that asks for them.
        promotion: Option<String>,
        /// Why these are not what the Environment says.
        notice: Option<String>,
    },
    /// Nothing to run yet, and why.
    Nothing(String),
    /// The link has one end only.
    Invalid(Invalid),
}

/// Follows the link of the Rollout `name`. `kept` are the images that it was last asked for, if any.
pub fn bind(
    name: &str,
    source: &ReleaseSource,
    environment: Option<&Environment>,
    kept: Option<Images>,
) -> Binding {
    let of = &source.environment.name;
    let keep = |why: String| match kept {
        Some(images) => Binding::Images {
            images,
            promotion: None,
            notice: Some(format!("it keeps what it runs: {why}")),
        },
        None => Binding::Nothing(format!("nothing runs: {why}")),
    };
    let Some(environment) = environment else {
        return keep(format!(
            "there is no Environment {of}; create it, or name another in spec.release.environment"
        ));
    };
    let rollouts = &environment.spec.rollouts;
    if !rollouts.iter().any(|rollout| rollout.name == name) {
        return Binding::Invalid(Invalid {
            path: "spec.release.environment".to_owned(),
            problem: format!(
                "Environment {of} does not list this Rollout; add {{name: {name}}} to its spec.rollouts"
            ),
        });
    }
    let desired = environment
        .status
        .as_ref()
        .map(|status| status.desired.as_slice());
    let desired = desired.unwrap_or_default();
    if desired.is_empty() {
        return keep(format!("Environment {of} has no Release yet"));
    }
    if let Some(behind) = desired.iter().find(|one| is_behind(name, source, one)) {
        let release = &behind.release;
        return keep(format!(
            "{release} comes here once the Rollouts that this one depends on in Environment {of} are healthy on it"
        ));
    }
    match images(source, desired) {
        Ok((images, promotion)) => Binding::Images {
            images,
            promotion: Some(promotion),
            notice: None,
        },
        Err(missing) => keep(format!(
            "no Release in Environment {of} has an image {missing}; look at spec.release.images"
        )),
    }
}

/// Whether a Rollout does not follow yet what it will run.
fn is_behind(name: &str, source: &ReleaseSource, deployed: &Deployed) -> bool {
    let is_used = |image: &ImageRef| source.images.values().any(|used| *used == image.name);
    deployed.waiting.iter().any(|waiting| waiting == name) && deployed.images.iter().any(is_used)
}

/// Whether a Rollout waits for others that it depends on, whoever's images they get, in the promotion that began last, which
/// says what is worn: until then it keeps its template.
pub fn waits(name: &str, environment: &Environment) -> bool {
    let status = environment.status.as_ref();
    let desired = status.map_or(&[][..], |status| &status.desired);
    let last = desired.iter().max_by_key(|deployed| deployed.since.0);
    last.is_some_and(|last| last.waiting.iter().any(|waiting| waiting == name))
}

/// Images by container and the Promotions that brought them; or the first image that nothing brings.
fn images<'a>(
    source: &'a ReleaseSource,
    desired: &[Deployed],
) -> Result<(Images, String), &'a str> {
    let mut images = Images::new();
    let mut promotions = Vec::new();
    for (container, image) in &source.images {
        let found = desired.iter().find_map(|deployed| {
            let found = deployed.images.iter().find(|found| found.name == *image)?;
            Some((found.reference.clone(), deployed.promotion.as_str()))
        });
        let (reference, promotion) = found.ok_or(image.as_str())?;
        images.insert(container.clone(), reference);
        promotions.push(promotion);
    }
    promotions.sort_unstable();
    promotions.dedup();
    Ok((images, promotions.join("+")))
}

/// The images that the Rollout was last asked for: those of the change that is under way, of the one that
/// was given up, or of what is stable.
pub fn last_asked(
    source: &ReleaseSource,
    status: Option<&RolloutStatus>,
    sets: &[Set],
) -> Option<Images> {
    let set = last_set(status, sets)?;
    let image = |container: &String| Some((container.clone(), set.images.get(container)?.clone()));
    let images: Option<BTreeMap<String, String>> = source.images.keys().map(image).collect();
    images
}

/// The ReplicaSet of what the Rollout was last asked for.
pub fn last_set<'s>(status: Option<&RolloutStatus>, sets: &'s [Set]) -> Option<&'s Set> {
    let progress = status.and_then(|status| status.progress.as_ref());
    let asked = progress.and_then(|progress| {
        let change = progress.change.as_ref().map(|change| &change.revision);
        let failed = progress.failed.as_ref().map(|failed| &failed.revision);
        change.or(failed).or(progress.stable.as_ref())
    });
    let asked = sets.iter().find(|set| Some(&set.revision) == asked);
    let promoted = sets.iter().filter(|set| set.promoted_at.is_some());
    asked.or_else(|| promoted.max_by_key(|set| set.promoted_at))
}

/// What the Environment tells of SLOs by these names: burns that somebody is paged for, and the first name that it does not
/// know.
pub fn burns<'n>(
    environment: &Environment,
    names: &'n [String],
) -> (Vec<SloBurn>, Option<&'n str>) {
    let status = environment.status.as_ref();
    let slos = status.map_or(&[][..], |status| &status.slos);
    let burning = slos.iter().filter(|slo| names.contains(&slo.name));
    let paged = burning.filter_map(|slo| {
        let burn = slo.burn.as_ref();
        let burn = burn.filter(|burn| burn.severity == Severity::Page)?;
        Some(SloBurn {
            slo: slo.name.clone(),
            since: burn.since.0,
            message: slo.message.clone().unwrap_or_default(),
        })
    });
    let is_unknown = |name: &&String| {
        let mut known = environment.spec.slos.iter();
        !known.any(|slo| slo.name == **name)
    };
    let unknown = names.iter().find(is_unknown).map(String::as_str);
    (paged.collect(), unknown)
}

/// The least share of an error budget that an SLO of the Environment has left. What is not known of one could be less; only
/// where nothing is left it does not matter.
pub fn budget_left(environment: &Environment) -> Option<f64> {
    let status = environment.status.as_ref()?;
    let left = environment.spec.slos.iter().map(|slo| {
        let shown = status.slos.iter().find(|shown| shown.name == slo.name)?;
        shown.remaining_budget.as_ref()?.parse::<f64>().ok()
    });
    let left: Vec<Option<f64>> = left.collect();
    let least = left.iter().flatten().copied().reduce(f64::min)?;
    (least <= 0.0 || left.iter().all(Option::is_some)).then_some(least)
}

/// Releases that are gone back through, at most.
const MAX_RELEASES: usize = 20;

/// The Releases from what is stable to what the Environment wants, as far as they are known.
pub fn releases_between(
    source: &ReleaseSource,
    environment: &Environment,
    stable: Option<&Images>,
    find: impl Fn(&str) -> Option<Arc<Release>>,
) -> Vec<Arc<Release>> {
    let status = environment.status.as_ref();
    let desired = status.map_or(&[][..], |status| &status.desired);
    let is_stable = |release: &Release| runs(stable, release);
    let mut found = Vec::new();
    for deployed in desired.iter().filter(|deployed| uses(source, deployed)) {
        let members = deployed.members.iter().map(|member| &member.release);
        let alone = Some(&deployed.release).filter(|_| deployed.members.is_empty());
        let first = members.chain(alone).filter_map(|name| find(name));
        // Of a set the Rollout has what its own images come from.
        let has_own = |release: &&Arc<Release>| {
            let mut images = release.spec.images.iter();
            images.any(|image| source.images.values().any(|name| *name == image.name))
        };
        let is_set = !deployed.members.is_empty();
        for first in first.filter(|first| !is_set || has_own(&first)) {
            let mut next = Some(first);
            while let Some(release) = next.take().filter(|release| !is_stable(release)) {
                if found.len() < MAX_RELEASES {
                    next = release.spec.previous.as_deref().and_then(&find);
                }
                found.push(release);
            }
        }
    }
    found
}

/// What differs between what is stable and what the Environment wants, of all Releases on the way together: what was changed
/// and changed back counts twice. Only where the whole way is known, and each Release has it on record.
pub fn difference_between(
    source: &ReleaseSource,
    environment: &Environment,
    stable: Option<&Images>,
    find: impl Fn(&str) -> Option<Arc<Release>>,
) -> Option<Difference> {
    let between = releases_between(source, environment, stable, &find);
    let is_on_the_way = |name: &str| {
        let mut names = between.iter();
        names.any(|release| release.metadata.name.as_deref() == Some(name))
            || find(name).is_some_and(|release| runs(stable, &release))
    };
    let mut all: Option<Difference> = None;
    for release in &between {
        is_on_the_way(release.spec.previous.as_deref()?).then_some(())?;
        let one = release.spec.difference.clone()?;
        all = Some(match all {
            None => one,
            Some(all) => Difference {
                lines: all.lines.saturating_add(one.lines),
                files: all
                    .files
                    .zip(one.files)
                    .map(|(all, one)| [all, one].concat()),
            },
        });
    }
    all
}

/// Whether a Rollout takes an image of what an Environment wants.
fn uses(source: &ReleaseSource, deployed: &Deployed) -> bool {
    own_images(source, deployed).next().is_some()
}

/// The images of what an Environment wants that a Rollout takes.
fn own_images<'a>(
    source: &'a ReleaseSource,
    deployed: &'a Deployed,
) -> impl Iterator<Item = &'a ImageRef> {
    let images = deployed.images.iter();
    images.filter(|image| source.images.values().any(|name| *name == image.name))
}

/// Whether these images are of a Release.
fn runs(images: Option<&Images>, release: &Release) -> bool {
    let mut own = release.spec.images.iter().map(ImageRef::from);
    own.any(|image| has(images, &image))
}

/// Whether an image is one of these.
fn has(images: Option<&Images>, image: &ImageRef) -> bool {
    images.is_some_and(|images| images.values().any(|of| *of == image.reference))
}

/// The versions of the Release that is stable and of the one that the Environment wants; only where there is one of each.
pub fn versions_between(
    source: &ReleaseSource,
    environment: &Environment,
    stable: Option<&Images>,
    find: impl Fn(&str) -> Option<Arc<Release>>,
) -> Option<[String; 2]> {
    let status = environment.status.as_ref()?;
    let desired = status.desired.iter();
    let used: Vec<&Deployed> = desired.filter(|deployed| uses(source, deployed)).collect();
    let is_one = matches!(used.as_slice(), [one] if one.members.is_empty());
    let between = releases_between(source, environment, stable, &find);
    let wanted = between.first().filter(|_| is_one)?;
    let before = find(between.last()?.spec.previous.as_deref()?)?;
    let before = runs(stable, &before).then(|| before.spec.version.clone())?;
    Some([before?, wanted.spec.version.clone()?])
}

/// Whether the change from what is stable to what the Environment wants changes its database: by its rules, and by what
/// the promotion that brings it has on record. The promotions of a mirror are in another cluster.
pub fn has_migrations(
    source: &ReleaseSource,
    environment: &Environment,
    stable: Option<&Images>,
    find: impl Fn(&str) -> Option<Arc<Promotion>>,
) -> Option<bool> {
    let labels = environment.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(label::MIRROR_OF)) {
        return None;
    }
    let Some(rules) = &environment.spec.migrations else {
        return Some(false);
    };
    let of_each = |deployed: &Deployed| {
        let is_new = own_images(source, deployed).any(|image| !has(stable, image));
        let commands = rules.image_from.as_ref();
        let lacks = commands.is_some_and(|name| {
            let mut images = deployed.images.iter();
            !images.any(|image| image.name == *name)
        });
        if !is_new || lacks {
            return Some(false);
        }
        let promotion = find(&deployed.promotion)?;
        let record = promotion.status.as_ref()?.migrations.as_ref()?;
        let mut phases = record.phases.iter();
        let has_changed = phases.any(|phase| phase.phase.changes());
        Some(has_changed || !record.pending.is_empty())
    };
    let desired = environment.status.as_ref()?.desired.iter();
    let said = desired
        .filter(|deployed| uses(source, deployed))
        .map(of_each);
    let said = said.reduce(|one, other| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    });
    said.flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::testing::{NOW, revision, spec, untouched};

    fn digest(version: char) -> String {
        format!("r/api@sha256:{}", version.to_string().repeat(64))
    }

    fn environment(rollouts: &[&str], desired: &str) -> Environment {
        let rollouts: Vec<_> = rollouts.iter().map(|name| json!({"name": name})).collect();
        let desired: Vec<_> = desired
            .chars()
            .map(|version| {
                json!({
                    "pipeline": "shop", "release": "shop-1", "promotion": "staging-1", "since": "2026-01-01T00:00:00Z",
                    "images": [{"name": "api", "ref": digest(version)}],
                })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "staging", "namespace": "shop"},
            "spec": {"tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": rollouts},
            "status": {"desired": desired},
        }))
        .unwrap()
    }

    fn source() -> ReleaseSource {
        let source = json!({"environment": {"name": "staging"}, "images": {"web": "api"}});
        serde_json::from_value(source).unwrap()
    }

    fn kept() -> Images {
        [("web".to_owned(), digest('a'))].into()
    }

    #[test]
    fn the_environment_says_what_runs() {
        let bound = bind(
            "api",
            &source(),
            Some(&environment(&["api"], "b")),
            Some(kept()),
        );
        let expected = Binding::Images {
            images: [("web".to_owned(), digest('b'))].into(),
            promotion: Some("staging-1".to_owned()),
            notice: None,
        };
        assert_eq!(bound, expected);
    }

    #[test]
    fn an_environment_that_does_not_list_the_rollout_says_nothing() {
        let bound = bind(
            "api",
            &source(),
            Some(&environment(&["web"], "b")),
            Some(kept()),
        );
        let Binding::Invalid(invalid) = bound else {
            panic!("{bound:?}")
        };
        assert_eq!(invalid.path, "spec.release.environment");
        assert!(
            invalid
                .problem
                .contains("add {name: api} to its spec.rollouts")
        );
    }

    #[test]
    fn without_a_release_nothing_runs() {
        let bound = bind("api", &source(), Some(&environment(&["api"], "")), None);
        let text = "nothing runs: Environment staging has no Release yet";
        assert_eq!(bound, Binding::Nothing(text.to_owned()));
    }

    #[test]
    fn what_runs_goes_on_when_the_environment_or_its_status_is_gone() {
        let wiped = environment(&["api"], "");
        for environment in [None, Some(&wiped)] {
            let bound = bind("api", &source(), environment, Some(kept()));
            let Binding::Images {
                images,
                promotion,
                notice,
            } = bound
            else {
                panic!("{bound:?}")
            };
            assert_eq!((images, promotion), (kept(), None));
            assert!(notice.unwrap().starts_with("it keeps what it runs"));
        }
    }

    #[test]
    fn what_comes_after_others_keeps_what_it_runs() {
        let mut environment = environment(&["api"], "b");
        environment.status.as_mut().unwrap().desired[0].waiting = vec!["api".into()];
        let bound = bind("api", &source(), Some(&environment), Some(kept()));
        let Binding::Images { images, notice, .. } = bound else {
            panic!("{bound:?}")
        };
        assert_eq!(images, kept());
        assert!(notice.unwrap().contains("depends on"));
        assert!(waits("api", &environment), "with its template too");
        assert!(!waits("web", &environment));
        let mut later = environment.clone();
        let desired = &mut later.status.as_mut().unwrap().desired;
        desired.extend(desired.clone());
        desired[1].since.0 = NOW;
        desired[1].waiting.clear();
        assert!(!waits("api", &later), "another promotion brings templates");
        let bound = bind("api", &source(), Some(&environment), None);
        assert!(matches!(bound, Binding::Nothing(_)), "{bound:?}");
        let mut other = source();
        other.images = [("web".to_owned(), "proxy".to_owned())].into();
        let bound = bind("api", &other, Some(&environment), Some(kept()));
        let Binding::Images { notice, .. } = bound else {
            panic!("{bound:?}")
        };
        assert!(notice.unwrap().contains("has an image proxy"));
    }

    #[test]
    fn an_image_that_no_release_has_is_waited_for() {
        let mut source = source();
        source.images.insert("sidecar".into(), "proxy".into());
        let bound = bind("api", &source, Some(&environment(&["api"], "b")), None);
        let Binding::Nothing(text) = bound else {
            panic!("{bound:?}")
        };
        assert!(text.contains("has an image proxy"), "{text}");
    }

    #[test]
    fn a_burn_that_pages_is_told_and_so_is_a_name_that_the_environment_does_not_know() {
        let mut environment = environment(&["api"], "b");
        let slo = |name: &str, burn: serde_json::Value, left: &str| json!({"name": name, "state": "Burning", "message": "burns", "burn": burn, "remainingBudget": left});
        let since = "2026-01-01T00:00:00Z";
        let status = json!([
            slo("a", json!({"severity": "Page", "since": since}), "0.4"),
            slo("b", json!({"severity": "Ticket", "since": since}), "0.3"),
            slo("c", json!(null), "-0.2"),
        ]);
        environment.status.as_mut().unwrap().slos = serde_json::from_value(status).unwrap();
        let spec = ["a", "b", "c"].map(|name| json!({"name": name, "objective": "99"}));
        environment.spec.slos = serde_json::from_value(json!(spec)).unwrap();

        let names = ["a", "b", "x"].map(str::to_owned);
        let (burns, unknown) = burns(&environment, &names);
        assert_eq!(unknown, Some("x"));
        let expected = SloBurn {
            slo: "a".into(),
            since: since.parse().unwrap(),
            message: "burns".into(),
        };
        assert_eq!(burns, [expected]);

        assert_eq!(budget_left(&environment), Some(-0.2));
        let status = environment.status.as_mut().unwrap();
        status.slos[2].remaining_budget = None;
        assert_eq!(budget_left(&environment), None, "one is not known");
        environment.spec.slos.pop();
        assert_eq!(budget_left(&environment), Some(0.3));
        environment.spec.slos.clear();
        assert_eq!(budget_left(&environment), None);
    }

    fn release(name: &str, version: char, previous: Option<&str>) -> Arc<Release> {
        let digest = digest(version);
        let (repository, digest) = digest.split_once('@').unwrap();
        let commit = json!({"sha": "a".repeat(40), "author": "olga", "email": "o@e", "subject": name,
            "committedAt": "2026-01-01T00:00:00Z"});
        let release = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"pipeline": "shop", "commit": commit, "previous": previous, "ref": "refs/heads/main",
                "images": [{"name": "api", "repository": repository, "digest": digest}], "evidence": {"run": "r"}},
        });
        Arc::new(serde_json::from_value(release).unwrap())
    }

    #[test]
    fn the_releases_of_a_change_are_those_since_what_is_stable() {
        let all = [
            release("shop-0", '0', None),
            release("shop-a", 'a', Some("shop-0")),
            release("shop-b", 'b', Some("shop-a")),
            release("shop-1", 'c', Some("shop-b")),
        ];
        let find = |name: &str| {
            let mut all = all.iter();
            let is_it = |release: &&Arc<Release>| release.metadata.name.as_deref() == Some(name);
            all.find(is_it).cloned()
        };
        let since = |stable: Option<&Images>, desired: &str| {
            let environment = environment(&["api"], desired);
            let found = releases_between(&source(), &environment, stable, find);
            let names = found
                .iter()
                .map(|release| release.spec.commit.subject.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(since(Some(&kept()), "c"), ["shop-1", "shop-b"]);
        assert_eq!(since(None, "c"), ["shop-1", "shop-b", "shop-a", "shop-0"]);
        assert_eq!(since(Some(&kept()), ""), Vec::<String>::new());
    }

    #[test]
    fn versions_are_those_of_the_release_that_is_stable_and_of_the_one_that_is_wanted() {
        let with = |name: &str, digest: char, previous: Option<&str>, version: &str| {
            let mut release = release(name, digest, previous).as_ref().clone();
            release.spec.version = (!version.is_empty()).then(|| version.to_owned());
            Arc::new(release)
        };
        let between = |versions: [&str; 3]| {
            let [a, b, c] = versions;
            let all = [
                with("shop-a", 'a', None, a),
                with("shop-b", 'b', Some("shop-a"), b),
                with("shop-1", 'c', Some("shop-b"), c),
            ];
            let find = |name: &str| {
                let mut all = all.iter();
                all.find(|release| release.metadata.name.as_deref() == Some(name))
                    .cloned()
            };
            let environment = environment(&["api"], "c");
            versions_between(&source(), &environment, Some(&kept()), find)
        };
        let known = Some(["1.0.0", "1.1.0"].map(str::to_owned));
        assert_eq!(between(["1.0.0", "", "1.1.0"]), known);
        assert_eq!(between(["", "1.0.0", "1.1.0"]), None);
        assert_eq!(between(["1.0.0", "1.0.1", ""]), None);
    }

    #[test]
    fn what_differs_is_added_up_where_the_whole_way_is_known() {
        let with =
            |name: &str, digest: char, previous: Option<&str>, told: Option<(u64, &[&str])>| {
                let mut release = release(name, digest, previous).as_ref().clone();
                release.spec.difference = told.map(|(lines, files)| Difference {
                    lines,
                    files: (!files.is_empty()).then(|| files.iter().map(|&it| it.into()).collect()),
                });
                Arc::new(release)
            };
        let between = |all: &[Arc<Release>], desired: &str| {
            let find = |name: &str| {
                let mut all = all.iter();
                all.find(|release| release.metadata.name.as_deref() == Some(name))
                    .cloned()
            };
            let environment = environment(&["api"], desired);
            difference_between(&source(), &environment, Some(&kept()), find)
        };
        let told = |lines, files: Option<&[&str]>| {
            let files = files.map(|files| files.iter().map(|&it| it.to_owned()).collect());
            Some(Difference { lines, files })
        };
        let a = with("shop-a", 'a', Some("shop-0"), Some((9, &["x"])));
        let b = with("shop-b", 'b', Some("shop-a"), Some((2, &["y"])));
        let c = with("shop-1", 'c', Some("shop-b"), Some((3, &["z"])));
        let all = [a.clone(), b.clone(), c.clone()];
        assert_eq!(between(&all, "c"), told(5, Some(&["z", "y"])));
        let vague = with("shop-b", 'b', Some("shop-a"), Some((2, &[])));
        assert_eq!(between(&[a.clone(), vague, c.clone()], "c"), told(5, None));
        let untold = with("shop-b", 'b', Some("shop-a"), None);
        assert_eq!(between(&[a.clone(), untold, c.clone()], "c"), None);
        assert_eq!(between(&[a, c], "c"), None, "one in between is gone");
        assert_eq!(between(&[b], "c"), None, "what is wanted is gone");
        assert_eq!(between(&all, ""), None, "nothing is wanted");
        // Back to one before the stable one: nothing leads from there to stable.
        let older = with("shop-1", 'c', Some("shop-0"), Some((3, &["z"])));
        let first = with("shop-0", '0', None, None);
        assert_eq!(between(&[first, older], "c"), None);
    }

    fn promotion(migrations: &serde_json::Value) -> Arc<Promotion> {
        let promotion = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "staging-1"},
            "spec": {"environment": "staging", "release": "shop-1", "pipeline": "shop", "images": [], "kind": "Promote",
                "attempt": 1, "requestedBy": "olga"},
            "status": {"migrations": migrations},
        });
        Arc::new(serde_json::from_value(promotion).unwrap())
    }

    #[test]
    fn whether_a_change_has_migrations_is_on_record_in_the_promotion_that_brings_it() {
        let mut environment = environment(&["api"], "b");
        let told = |environment: &Environment, found: Option<Arc<Promotion>>| {
            has_migrations(&source(), environment, Some(&kept()), |_| found.clone())
        };
        assert_eq!(told(&environment, None), Some(false), "no rules");
        let command = json!({"command": ["db"]});
        let rules = json!({"database": "db", "image": "db:1", "withoutBackup": true, "validate": command,
            "run": command, "verify": command});
        environment.spec.migrations = serde_json::from_value(rules).unwrap();
        assert_eq!(told(&environment, None), None, "no record yet");
        assert_eq!(told(&environment, Some(promotion(&json!(null)))), None);
        let record = |more: serde_json::Value| {
            let mut record = json!({"state": "Done", "database": "db"});
            json_patch::merge(&mut record, &more);
            Some(promotion(&record))
        };
        assert_eq!(told(&environment, record(json!({}))), Some(false));
        let pending = record(json!({"pending": ["V2"]}));
        assert_eq!(told(&environment, pending.clone()), Some(true));
        let run = json!({"phases": [{"phase": "Run", "job": "j", "state": "Succeeded"}]});
        assert_eq!(told(&environment, record(run)), Some(true));
        // What is stable had its migrations before: this change is another one.
        let stable: Images = [("web".to_owned(), digest('b'))].into();
        let again = has_migrations(&source(), &environment, Some(&stable), |_| pending.clone());
        assert_eq!(again, Some(false));
        let mut other = environment.clone();
        let rules = other.spec.migrations.as_mut().unwrap();
        (rules.image, rules.image_from) = (None, Some("migrator".into()));
        assert_eq!(
            told(&other, pending.clone()),
            Some(false),
            "without that image"
        );
        let labels = environment.metadata.labels.get_or_insert_default();
        labels.insert(label::MIRROR_OF.to_owned(), "hub.staging".to_owned());
        assert_eq!(
            told(&environment, pending),
            None,
            "its promotions are elsewhere"
        );
    }

    #[test]
    fn what_was_last_asked_for_is_the_change_then_what_is_stable() {
        let extra = json!({});
        let (old, new) = (revision("1", &extra), revision("2", &extra));
        let mut seen = untouched(spec("2", &extra))
            .with_set(&old, 4)
            .promoted(&old, NOW)
            .with_set(&new, 1);
        for (set, version) in seen.sets.iter_mut().zip(['a', 'b']) {
            set.images = [("web".to_owned(), digest(version))].into();
        }
        let stable = last_asked(&source(), None, &seen.sets).unwrap();
        assert_eq!(stable["web"], digest('a'));
        let status = json!({"observedGeneration": 1, "progress": {"stable": old, "failed": {
            "revision": new, "reason": "r", "message": "m", "at": NOW.to_string()}}});
        let status: RolloutStatus = serde_json::from_value(status).unwrap();
        let asked = last_asked(&source(), Some(&status), &seen.sets).unwrap();
        assert_eq!(asked["web"], digest('b'));
    }
}
