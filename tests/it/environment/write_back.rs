//! What runs, written back to a real Gitea: commits beside those of people, and pull requests.

use http::Method;
use serde_json::{Value, json};
use slipway::environment::api::{EnvironmentStatus, WriteBackState};
use testbed::git::Repository;
use testbed::gitea::Gitea;
use testbed::proxy::{Fault, Match, What};

use super::shop::{Shop, condition};
use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::fault::proxied;
use crate::operator::Operator;

const ARGS: &[&str] = &["--no-leader-election", "--stage-secrets"];
const PATH: &str = "overlays/staging/kustomization.yaml";
const FILE: &str =
    "# Ours.\nresources: [../../base]\nimages:\n- name: api # the shop\n  newTag: v0\n";

/// A repository of people's at Gitea, to which a robot may push.
struct Forge {
    gitea: Gitea,
    repository: Repository,
    shop: Shop,
    write_back: Value,
}

impl Forge {
    async fn new(space: &Space) -> Self {
        let gitea = Gitea::start().await.unwrap();
        let repository = gitea.create("shop/config").await.unwrap();
        let robot = gitea.account("robot").await.unwrap();
        let member = "repos/shop/config/collaborators/robot";
        let may_write = json!({"permission": "write"});
        gitea.ask(Method::PUT, member, &may_write).await.unwrap();
        let secret = json!({"token": robot.token});
        space.make_secret("git", secret).await;
        let begin = repository.commit("main", "Begin", &[(PATH, FILE)]);
        begin.await.unwrap();
        let write_back = json!({
            "repository": {
                "url": gitea.url("shop/config"), "insecure": true,
                "credentials": {"secretName": "git", "key": "token", "username": "robot"},
                "provider": {"type": "Gitea", "tokenSecretRef": {"name": "git", "key": "token"}},
            },
            "kustomize": {"path": PATH},
        });
        Self {
            gitea,
            repository,
            shop: Shop::new(space),
            write_back,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("repos/shop/config/{path}");
        let asked = self.gitea.ask(Method::GET, &path, &Value::Null);
        asked.await.unwrap()
    }

    /// First lines of the commits of `main`, the newest first.
    async fn commits(&self) -> Vec<String> {
        let all = self.get("commits?sha=main&limit=50&stat=false").await;
        let all = all.as_array().unwrap().iter();
        let first = all.map(|one| one["commit"]["message"].as_str().unwrap());
        first
            .map(|message| message.lines().next().unwrap().to_owned())
            .collect()
    }

    /// Whether a branch says that a Release runs, and else what it said.
    async fn says(&self, branch: &str, number: u32) -> bool {
        let image = self.shop.image(number);
        let (repository, digest) = image.split_once('@').unwrap();
        let expected = format!(
            "# Ours.\nresources: [../../base]\nimages:\n- name: api # the shop\n  newName: {repository}\n  digest: {digest}"
        );
        self.repository.read(branch, PATH).await.unwrap() == expected
    }

    async fn until(&self, what: &str, state: WriteBackState, release: &str) -> EnvironmentStatus {
        let is_there = |status: &EnvironmentStatus| {
            let written = status.write_back.as_ref();
            written.is_some_and(|it| it.state == state && it.release == release)
        };
        self.shop.until("staging", what, is_there).await
    }

    async fn go_back(&self) {
        let target = json!({"target": {"kind": "Environment", "name": "staging"}});
        self.shop.decide_about("olga", "Rollback", &target).await;
    }

    /// The open pull requests.
    async fn open(&self) -> Vec<Value> {
        let open = self.get("pulls?state=open").await;
        open.as_array().unwrap().clone()
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_runs_is_committed_once_beside_what_people_commit_though_the_operator_dies() {
    Box::pin(with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let shop = &forge.shop;
        let (proxy, kubeconfig) = proxied(space).await;
        let operator = Operator::start_with(&space.name, &kubeconfig, ARGS);
        let spec = json!({"writeBack": forge.write_back});
        shop.environment("staging", &spec).await;
        shop.release(1).await;
        let status = forge
            .until("written", WriteBackState::Written, "shop-1")
            .await;
        assert!(forge.says("main", 1).await);
        assert_eq!(condition(&status, "WrittenBack"), Some(("True", "Written")));
        let written = status.write_back.unwrap();
        let commit = written.commit.unwrap();
        let head = forge.repository.resolve("refs/heads/main").await.unwrap();
        assert_eq!(head.as_ref(), Some(&commit));
        let url = forge.gitea.url("shop/config").replace(".git", "/commit/");
        assert_eq!(written.url, Some(url + &commit));
        let shown = forge.get(&format!("git/commits/{commit}")).await;
        assert_eq!(shown["commit"]["author"]["name"], "Slipway");
        let message = shown["commit"]["message"].as_str().unwrap();
        assert!(message.contains("\nSlipway-Release: shop-1\n"), "{message}");

        // Somebody commits meanwhile.
        forge.repository.pull("main").await.unwrap();
        let files = [("base/kustomization.yaml", "resources: []\n")];
        let other = forge.repository.commit("main", "Add a base", &files);
        other.await.unwrap();
        shop.release(2).await;
        forge
            .until("written", WriteBackState::Written, "shop-2")
            .await;
        assert!(forge.says("main", 2).await);
        let base = forge.repository.read("main", "base/kustomization.yaml");
        assert_eq!(base.await.unwrap(), "resources: []");

        // Nobody may push, and so the way back is not written, and happens all the same.
        let rules = "repos/shop/config/branch_protections";
        let rule = json!({"rule_name": "main", "enable_push": false});
        forge.gitea.ask(Method::POST, rules, &rule).await.unwrap();
        forge.go_back().await;
        let refused = |status: &EnvironmentStatus| {
            condition(status, "WrittenBack") == Some(("False", "Refused"))
        };
        let status = shop.until("staging", "may not write", refused).await;
        assert_eq!(status.current[0].release, "shop-1");
        let pending = status.write_back.unwrap();
        assert_eq!(pending.state, WriteBackState::Pending);
        assert!(pending.next_at.is_some(), "{pending:?}");

        // It may; but nothing of that gets on record, and the operator dies.
        let writes = Match::writes().path("environments/staging/status");
        let injected = proxy.inject(Fault::new(writes, What::Status(503)).always());
        let lift = format!("{rules}/main");
        let lifted = forge.gitea.ask(Method::DELETE, &lift, &Value::Null);
        lifted.await.unwrap();
        wait_for("a commit that is not on record", SOON, async || {
            forge.says("main", 1).await.then_some(())
        })
        .await;
        operator.kill().await;
        injected.remove();
        let _operator = Operator::start_with(&space.name, &kubeconfig, ARGS);
        forge
            .until("written", WriteBackState::Written, "shop-1")
            .await;
        assert_eq!(
            forge.commits().await,
            [
                "staging runs shop-1 [skip ci]",
                "staging runs shop-2 [skip ci]",
                "Add a base",
                "staging runs shop-1 [skip ci]",
                "Begin",
            ]
        );
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn one_pull_request_follows_what_runs_until_people_merge_it() {
    Box::pin(with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let shop = &forge.shop;
        let _operator = Operator::start_with(&space.name, &kubeconfig_path(), ARGS);
        let mut asking = forge.write_back.clone();
        asking["mode"] = json!("PullRequest");
        shop.environment("staging", &json!({"writeBack": asking}))
            .await;
        let branch = format!("slipway/{}/staging", space.name);
        for number in [1, 2] {
            shop.release(number).await;
            let release = format!("shop-{number}");
            let status = forge
                .until("asked for", WriteBackState::Proposed, &release)
                .await;
            assert_eq!(
                condition(&status, "WrittenBack"),
                Some(("False", "Proposed"))
            );
            let open = forge.open().await;
            assert_eq!(open.len(), 1, "{open:?}");
            assert_eq!(open[0]["title"], format!("staging runs {release}"));
            assert_eq!(open[0]["user"]["login"], "robot");
            let asked = status.write_back.unwrap().pull_request.unwrap();
            assert_eq!((asked.number, open[0]["number"].as_u64()), (1, Some(1)));
            assert!(forge.says(&branch, number).await);
            assert_eq!(forge.commits().await, ["Begin"]);
        }
        let merge = json!({"Do": "merge", "MergeTitleField": "Merge it"});
        wait_for("Gitea can merge it", SOON, async || {
            let path = "repos/shop/config/pulls/1/merge";
            let merged = forge.gitea.ask(Method::POST, path, &merge).await;
            merged.ok()
        })
        .await;
        assert!(forge.says("main", 2).await);

        // The next one gets another; and none asks any more for what does not run.
        shop.release(3).await;
        let status = forge
            .until("asked for", WriteBackState::Proposed, "shop-3")
            .await;
        assert_eq!(status.write_back.unwrap().pull_request.unwrap().number, 2);
        forge.go_back().await;
        forge
            .until("as it is", WriteBackState::Written, "shop-2")
            .await;
        assert_eq!(forge.open().await, Vec::<Value>::new());
        assert!(forge.says("main", 2).await);
    }))
    .await;
}
