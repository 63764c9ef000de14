//! Worlds in which Releases of several Pipelines are promoted as one.

use serde_json::{Value, json};

use super::{Model, Nature, World, digest};
use crate::model::object::ObjectKind;

impl World {
    /// `staging` takes Releases of `api` and `web` as the set `shop`, `production` takes what is good there after one approval.
    /// In each a Rollout follows either.
    pub(crate) fn sets(together: &str) -> Self {
        let mut world = Self::new();
        let set = json!({"name": "shop", "pipelines": ["api", "web"], "together": together});
        world.environment(
            "staging",
            &json!({"tier": "Staging",
                    "promotion": {"from": {"pipelines": ["api", "web"]}, "set": set},
                    "rollouts": [{"name": "staging-api"}, {"name": "staging-web"}]}),
        );
        world.environment(
            "production",
            &json!({"tier": "Production", "promotion": {"from": {"environments": ["staging"]}},
                    "protection": {"approvals": {"required": 1}},
                    "rollouts": [{"name": "production-api"}, {"name": "production-web"}]}),
        );
        for environment in ["staging", "production"] {
            for image in ["api", "web"] {
                world.follower(&format!("{environment}-{image}"), environment, image);
            }
        }
        world
    }

    /// A Rollout that follows an Environment with that image.
    fn follower(&mut self, name: &str, environment: &str, image: &str) {
        let spec = json!({
            "selector": {"matchLabels": {"app": name}}, "template": {},
            "release": {"environment": {"name": environment}, "images": {"web": image}},
        });
        self.put(ObjectKind::Rollout, name, json!({"spec": spec}));
        self.models.insert(name.to_owned(), Model::default());
    }

    /// The Release `<pipeline>-<number>` of a commit, with the image that is called as the Pipeline is.
    pub(crate) fn part(&mut self, pipeline: &str, (number, commit): (u32, u32), nature: Nature) {
        self.tick(1);
        let previous = (number > 1).then(|| format!("{pipeline}-{}", number - 1));
        let repository = format!("registry.example/{pipeline}");
        let spec = json!({
            "pipeline": pipeline, "previous": previous, "ref": "refs/heads/main",
            "commit": {"sha": format!("{commit:040x}"), "author": format!("author-of-{pipeline}"), "email": "a@b",
                       "subject": "s", "committedAt": self.now.to_string()},
            "images": [{"name": pipeline, "repository": repository, "digest": digest(number)}],
            "evidence": {"run": "run"},
        });
        let object =
            json!({"metadata": {"labels": {"slipway.dev/pipeline": pipeline}}, "spec": spec});
        self.put(ObjectKind::Release, &format!("{pipeline}-{number}"), object);
        let reference = format!("{repository}@{}", digest(number));
        self.natures.insert(reference, nature);
    }

    /// Changes what a Release says of itself.
    pub(crate) fn amend(&mut self, release: &str, change: &Value) {
        let mut object = self.object(ObjectKind::Release, release);
        json_patch::merge(&mut object["spec"], change);
        self.store(ObjectKind::Release, release, object);
    }

    /// The Promotions of an Environment, told by the Releases in them.
    pub(crate) fn told_of_parts(&self, environment: &str) -> Vec<String> {
        let all = self.promotions_of(environment);
        let told = all.iter().map(|promotion| {
            let members = promotion.spec.members.iter();
            let members: Vec<&str> = members.map(|member| member.release.as_str()).collect();
            let phase = promotion.status.as_ref().and_then(|status| status.phase);
            let phase = phase.map_or("-", |phase| phase.as_str());
            format!("{} {} {phase}", promotion.spec.kind, members.join("+"))
        });
        told.collect()
    }

    /// What Rollouts serve of a set in an Environment.
    pub(crate) fn serves_both(&self, environment: &str) -> [Option<u32>; 2] {
        ["api", "web"].map(|image| self.serves(&format!("{environment}-{image}")))
    }

    /// I2 of sets: what should run of Pipelines that are promoted as one is what one promotion brought.
    pub(super) fn check_sets(&self, environment: &str) {
        // Where sets are not made any more, what is in one goes alone again.
        let spec = self.specs.get("staging");
        let pipelines = spec.and_then(|spec| spec.pointer("/promotion/set/pipelines"));
        let Some(pipelines) = pipelines.and_then(Value::as_array) else {
            return;
        };
        let status = self.status(environment);
        for deployed in status.desired.iter().chain(&status.current) {
            let is_in = |pipeline: &str| deployed.members.iter().any(|of| of.pipeline == pipeline);
            let of_rule = pipelines.iter().filter_map(Value::as_str);
            let count = of_rule.filter(|name| is_in(name)).count();
            // Where the set was another one before, that one still runs.
            if count < pipelines.len() || count != deployed.members.len() {
                continue;
            }
            let is_whole = deployed.images.len() == count;
            assert!(
                is_whole,
                "a part of a set is in {environment}: {deployed:?}"
            );
            let mut others = status.desired.iter();
            let is_one = !others.any(|other| is_in(&other.pipeline));
            assert!(is_one, "beside a set: {:?}", status.desired);
        }
    }
}
