//! A promotion, and the way back from one, interrupted at any write: it ends as if nothing had been.

use std::path::PathBuf;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use slipway::rollout::api::Phase;
use testbed::proxy::{Fault, Injected, Match, Proxy, What, Write};

use super::shop::{Shop, told};
use crate::cluster::{SOON, Space, with_namespace};
use crate::fault::{proxied, stride};
use crate::operator::Operator;

/// A shop whose staging runs `shop-1`, and whose operator talks to the API server through a proxy.
struct Proxied {
    shop: Shop,
    proxy: Proxy,
    kubeconfig: PathBuf,
    operator: Operator,
}

impl Proxied {
    async fn new(space: &Space) -> Self {
        let shop = Shop::new(space);
        let (proxy, kubeconfig) = proxied(space).await;
        let operator = shop.operator_through(&kubeconfig);
        shop.environment("staging", &json!({})).await;
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        Self {
            shop,
            proxy,
            kubeconfig,
            operator,
        }
    }

    /// Makes a Release and waits for its end. What is left of it, and the number of writes that it took.
    async fn undisturbed(&self, number: u32, end: impl AsyncFn(&Shop)) -> (Value, usize) {
        let before = self.proxy.writes().len();
        self.shop.release(number).await;
        end(&self.shop).await;
        let writes = self.proxy.writes().len() - before;
        (self.shop.account(number).await, writes)
    }

    /// The same with an operator that dies after some writes, and another one that goes on.
    async fn killed(&mut self, number: u32, after: usize, end: impl AsyncFn(&Shop)) -> Value {
        let kill = Fault::new(Match::writes(), What::KillPid(self.operator.pid()));
        let injected = self.proxy.inject(kill.nth(after as u64));
        self.shop.release(number).await;
        tokio::select! {
            _ = self.operator.ended() => {}
            () = end(&self.shop) => {}
        }
        injected.remove();
        if injected.hits() > 0 {
            self.operator = self.shop.operator_through(&self.kubeconfig);
        }
        end(&self.shop).await;
        self.shop.account(number).await
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_makes_one_promotion_as_if_nothing_had_been() {
    with_namespace(async |space| {
        let mut proxied = Proxied::new(space).await;
        let runs = |number| async move |shop: &Shop| drop(shop.until_runs("staging", number).await);
        let (undisturbed, writes) = proxied.undisturbed(2, runs(2)).await;
        for (number, after) in (3..).zip((1..=writes).step_by(stride(5))) {
            let account = proxied.killed(number, after, runs(number)).await;
            assert_eq!(
                account, undisturbed,
                "killed after write {after} of {writes}"
            );
            let expected = (Some(proxied.shop.image(number)), Some(Phase::Healthy));
            assert_eq!(proxied.shop.serves("staging").await, expected);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_migrates_a_database_once() {
    with_namespace(async |space| {
        let mut proxied = Proxied::new(space).await;
        let rules = json!({"migrations": proxied.shop.migrations()});
        proxied.shop.edit("staging", &rules).await;
        let runs = |number| async move |shop: &Shop| drop(shop.until_runs("staging", number).await);
        let (undisturbed, writes) = proxied.undisturbed(2, runs(2)).await;
        let phases = ["Validate", "Backup", "RestoreTest", "Run", "Verify"];
        assert_eq!(
            undisturbed["begun"],
            json!([phases.map(|phase| (phase, 1))])
        );
        for (number, after) in (3..).zip((1..=writes).step_by(stride(8))) {
            let account = proxied.killed(number, after, runs(number)).await;
            assert_eq!(
                account, undisturbed,
                "killed after write {after} of {writes}"
            );
        }
        let leases = space.client.clone();
        let leases: Api<Lease> = Api::namespaced(leases, &space.name);
        let left = leases.list(&ListParams::default()).await.unwrap();
        assert!(left.items.is_empty(), "the database is free: {left:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_goes_back_once() {
    with_namespace(async |space| {
        let mut proxied = Proxied::new(space).await;
        let is_back =
            |number| async move |shop: &Shop| drop(shop.until_left("staging", number).await);
        proxied.shop.release_plays(2, "crash-loop");
        let (undisturbed, writes) = proxied.undisturbed(2, is_back(2)).await;
        assert_eq!(
            undisturbed["told"],
            json!(["Promote it RolledBack", "Rollback shop-1 Succeeded"])
        );
        for (number, after) in (3..).zip((1..=writes).step_by(stride(10))) {
            proxied.shop.release_plays(number, "crash-loop");
            let account = proxied.killed(number, after, is_back(number)).await;
            assert_eq!(
                account, undisturbed,
                "killed after write {after} of {writes}"
            );
            let expected = (Some(proxied.shop.image(1)), Some(Phase::Healthy));
            assert_eq!(proxied.shop.serves("staging").await, expected);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_status_that_is_wiped_after_any_write_changes_nothing_in_the_end() {
    with_namespace(async |space| {
        let proxied = Proxied::new(space).await;
        let Proxied { shop, proxy, .. } = &proxied;
        let runs = async |shop: &Shop| drop(shop.until_runs("staging", 2).await);
        let (undisturbed, writes) = proxied.undisturbed(2, runs).await;
        for (number, after) in (3..).zip((1..=writes).step_by(stride(10))) {
            let before = proxy.writes().len();
            shop.release(number).await;
            // Events that come together save a write here and there.
            let is_enough = |done: &[Write]| done.len() >= before + after;
            tokio::select! {
                enough = proxy.until_writes(SOON, is_enough) => drop(enough.unwrap()),
                _ = shop.until_runs("staging", number) => {}
            }
            shop.wipe("staging").await;
            shop.until_runs("staging", number).await;
            let account = shop.account(number).await;
            assert_eq!(
                account, undisturbed,
                "wiped after write {after} of {writes}"
            );
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_api_server_that_refuses_and_cuts_only_delays_a_promotion() {
    with_namespace(async |space| {
        let proxied = Proxied::new(space).await;
        let Proxied { shop, proxy, .. } = &proxied;
        shop.production().await;
        let whats = [
            What::CutAfter,
            What::Status(409),
            What::Cut,
            What::Status(500),
            What::Status(503),
        ];
        let faults = (1..).step_by(3).zip(whats.into_iter().cycle());
        let injected: Vec<_> = faults
            .take(20)
            .map(|(nth, what)| proxy.inject(Fault::new(Match::writes(), what).nth(nth)))
            .collect();
        shop.decide("bob", "Approve", "production", 1).await;
        shop.until_runs("production", 1).await;
        let story = ["Promote shop-1 Succeeded"];
        assert_eq!(told(&shop.records("production").await), story);
        let hits: u64 = injected.iter().map(Injected::hits).sum();
        assert!(hits > 5, "{hits} faults");
    })
    .await;
}
