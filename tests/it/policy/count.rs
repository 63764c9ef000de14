//! Approvals by real users, past the admission policies, counted by an operator that acts as the chart's does.

use kube::api::PostParams;
use serde_json::{Value, json};

use super::{
    APPROVER, assert_refused, bind, bind_to, environment_spec, object, permitted, release_spec,
};
use crate::cluster::{OPERATOR, SOON, Space, kubeconfig_of, wait_for, with_guarded_namespace};
use crate::operator::Operator;

/// An operator that acts as the chart's does, where the admission policies hold.
pub(crate) async fn operate(space: &Space, args: &[&str]) -> Operator {
    let all = json!({"kind": "ClusterRole", "name": "cluster-admin"});
    bind_to(space, OPERATOR, "operator", &all).await;
    permitted(space, OPERATOR, "create", "promotions").await;
    let kubeconfig = kubeconfig_of("operator", space, |user| {
        user["as"] = json!(OPERATOR);
        user["as-groups"] = json!(["system:authenticated", "system:serviceaccounts"]);
    });
    let args = [&["--no-leader-election"][..], args].concat();
    Operator::start_with(&space.name, &kubeconfig, &args)
}

/// Somebody of these groups approves of the Release, and names those groups.
async fn approve(
    space: &Space,
    user: &str,
    member_of: &[&str],
    in_the_name_of: &[&str],
) -> kube::Result<()> {
    let more = json!({"action": "Approve", "groups": in_the_name_of});
    say(space, (user, member_of), &more).await
}

/// Somebody of these groups decides about the Release in production.
async fn say(space: &Space, (user, member_of): (&str, &[&str]), more: &Value) -> kube::Result<()> {
    let decisions = space.api_as(user, member_of, "Decision").await;
    let mut spec = json!({
        "target": {"kind": "Environment", "name": "production"}, "release": "api-1", "user": user,
    });
    json_patch::merge(&mut spec, more);
    let mut decision = object("Decision", "", &spec);
    decision.metadata.name = None;
    decision.metadata.generate_name = Some("d-".to_owned());
    decisions
        .create(&PostParams::default(), &decision)
        .await
        .map(drop)
}

async fn until_says(space: &Space, words: &str) {
    let environments = space.api("Environment");
    let mut last = String::new();
    wait_for(&format!("production: {words}"), SOON, async || {
        let found = environments.get("production").await.ok()?;
        found.data["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut last);
        last.contains(words).then_some(())
    })
    .await;
}

/// What is decided in the second in which a protection is new may have been decided before: records keep whole seconds.
async fn another_second() {
    let start = std::time::Instant::now();
    let has_passed = async || (start.elapsed().as_millis() > 1100).then_some(());
    wait_for("another second", SOON, has_passed).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn approvals_of_real_users_count_as_the_protection_says() {
    with_guarded_namespace(async |space| {
        let mut spec = environment_spec();
        spec["protection"] = json!({"approvals": {
            "required": 2, "approvers": [{"group": "leads"}], "preventAuthorApproval": true, "preventSelfApproval": true,
        }});
        let environments = space.api("Environment");
        let production = object("Environment", "production", &spec);
        environments.create(&PostParams::default(), &production).await.unwrap();
        let _operator = operate(space, &[]).await;
        let mut release = object("Release", "api-1", &release_spec());
        release.metadata.labels = Some([("slipway.dev/pipeline".into(), "api".into())].into());
        let releases = space.api_as(OPERATOR, &[], "Release").await;
        releases.create(&PostParams::default(), &release).await.unwrap();
        until_says(space, "0 of 2 approvals").await;
        for user in ["alice", "bob", "carol", "a@example.com"] {
            bind(space, user, APPROVER).await;
        }

        another_second().await;

        // Who may not, or says of groups what is not so, does not even make one.
        let stranger = approve(space, "mallory", &["leads"], &["leads"]).await;
        assert!(matches!(stranger, Err(kube::Error::Api(status)) if status.is_forbidden()));
        let forged = approve(space, "bob", &["others"], &["leads"]).await;
        assert_refused(forged, "groups that you (bob) are not in: leads");
        // Who may make one is not counted for all that.
        approve(space, "bob", &["others"], &[]).await.unwrap();
        until_says(space, "that of bob does not count, who is none of the approvers").await;
        approve(space, "a@example.com", &["leads"], &["leads"]).await.unwrap();
        until_says(space, "that of a@example.com does not count, who is an author of the change").await;
        for _ in 0..2 {
            approve(space, "alice", &["leads"], &["leads"]).await.unwrap();
        }
        until_says(space, "1 of 2 approvals (alice)").await;
        // Under another protection people have to look again.
        let change = json!({"spec": {"protection": {"approvals": {"validFor": "25h"}}}});
        let change = kube::api::Patch::Merge(change);
        environments.patch("production", &kube::api::PatchParams::default(), &change).await.unwrap();
        until_says(space, "that of alice does not count, which is from before the protection changed").await;
        another_second().await;
        for user in ["alice", "carol"] {
            approve(space, user, &["leads"], &["leads"]).await.unwrap();
        }
        let promotions = space.api("Promotion");
        let done = wait_for("the promotion has succeeded", SOON, async || {
            let all = promotions.list(&kube::api::ListParams::default()).await.ok()?;
            let mut done = all.items.into_iter().filter(|one| one.data["status"]["phase"] == "Succeeded");
            done.next()
        })
        .await;
        let approvals = done.data["status"]["approvals"].as_array().unwrap();
        let users: Vec<&Value> = approvals.iter().map(|one| &one["user"]).collect();
        assert_eq!(users, ["alice", "carol"]);
        assert_eq!(approvals[0]["groups"], json!(["leads"]));
        assert_eq!(done.data["spec"]["requestedBy"], "slipway");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_self_made_foreign_or_late_counts_for_nothing() {
    with_guarded_namespace(async |space| {
        let mut spec = environment_spec();
        spec["promotion"]["mode"] = json!("Manual");
        spec["protection"] = json!({"approvals": {"required": 2, "preventSelfApproval": true}});
        let environments = space.api("Environment");
        let params = PostParams::default();
        let production = object("Environment", "production", &spec);
        environments.create(&params, &production).await.unwrap();
        let _operator = operate(space, &[]).await;
        let mut release = object("Release", "api-1", &release_spec());
        release.metadata.labels = Some([("slipway.dev/pipeline".into(), "api".into())].into());
        let releases = space.api_as(OPERATOR, &[], "Release").await;
        releases.create(&params, &release).await.unwrap();
        for user in ["alice", "bob", "carol"] {
            bind(space, user, APPROVER).await;
        }
        another_second().await;
        let says = async |user: &str, more: Value| say(space, (user, &[]), &more).await.unwrap();

        says("carol", json!({"action": "Promote"})).await;
        until_says(space, "0 of 2 approvals").await;
        says("carol", json!({"action": "Approve"})).await;
        until_says(
            space,
            "that of carol does not count, who asked for the promotion",
        )
        .await;
        let other = format!("sha256:{}", "b".repeat(64));
        says("bob", json!({"action": "Approve", "digest": other})).await;
        until_says(
            space,
            "that of bob does not count, which names another digest",
        )
        .await;
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
        let soon = soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        says("alice", json!({"action": "Approve", "expiresAt": soon})).await;
        until_says(space, "1 of 2 approvals (alice)").await;
        until_says(space, "that of alice does not count, which ended at").await;

        // What is refused stays so, whoever agrees afterwards.
        says("bob", json!({"action": "Reject", "reason": "not today"})).await;
        let promotions = space.api("Promotion");
        let record = async || {
            let all = promotions
                .list(&kube::api::ListParams::default())
                .await
                .ok()?;
            let [record] = &all.items[..] else {
                panic!("{} promotions", all.items.len());
            };
            let status = &record.data["status"];
            (status["phase"] == "Failed").then(|| status["reason"].clone())
        };
        let refused = wait_for("a promotion that is refused", SOON, async || record().await).await;
        assert_eq!(refused, "Rejected");
        for user in ["alice", "bob"] {
            says(user, json!({"action": "Approve"})).await;
        }
        let change = kube::api::Patch::Merge(json!({"spec": {"history": {"promotions": 51}}}));
        let params = kube::api::PatchParams::default();
        let patched = environments.patch("production", &params, &change);
        let generation = patched.await.unwrap().metadata.generation;
        let now = wait_for("another look", SOON, async || {
            let now = environments.get("production").await.ok()?;
            (now.data["status"]["observedGeneration"].as_i64() == generation).then_some(now)
        })
        .await;
        assert_eq!(record().await, Some(json!("Rejected")));
        assert!(
            now.data["status"]["current"][0].is_null(),
            "{}",
            now.data["status"]
        );
    })
    .await;
}
