//! Releases of two Pipelines that are promoted as one: the sample, played.

use serde_json::json;
use slipway::environment::set::release_name;
use slipway::release::api::ReleaseRef;

use super::sample::apply;
use super::shop::Shop;
use crate::cluster::with_namespace;

/// Name of the set of that number.
fn set(number: u32) -> String {
    let members = ["shop-api", "shop-web"].map(|pipeline| ReleaseRef {
        pipeline: pipeline.to_owned(),
        release: format!("{pipeline}-{number}"),
    });
    release_name("shop", &members)
}

async fn release(shop: &Shop, pipeline: &str, image: &str, number: u32) {
    let previous = (number > 1).then(|| format!("{pipeline}-{}", number - 1));
    let extra = json!({"previous": previous});
    shop.release_of(pipeline, number, &[image], &extra).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn two_pipelines_go_out_together_and_come_back_together() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        apply(space, "environment-set.yaml", &[]).await;
        let _operator = shop.operator();
        release(&shop, "shop-api", "api", 1).await;
        shop.until_says("shop-staging", "waits for a Release of shop-web")
            .await;
        shop.until_told("shop-staging", &[]).await;
        release(&shop, "shop-web", "web", 1).await;
        let first = format!("Promote {} Succeeded", set(1));
        let records = shop.until_told("shop-staging", &[&first]).await;
        assert_eq!(records[0].spec.pipeline, "shop");
        assert_eq!(records[0].spec.members.len(), 2);
        assert_eq!(records[0].spec.images.len(), 2);

        // One approval is for both.
        let waiting = format!("Promote {} AwaitingApproval", set(1));
        shop.until_told("shop-production", &[&waiting]).await;
        let target = json!({"kind": "Environment", "name": "shop-production"});
        let about = json!({"target": target, "release": set(1)});
        shop.decide_about("bob", "Approve", &about).await;
        shop.until_told("shop-production", &[&first]).await;
        let status = shop
            .until("shop-production", "both run", |status| {
                status.current.len() == 1 && status.current[0].images.len() == 2
            })
            .await;
        assert_eq!(status.desired[0].members.len(), 2);

        // The API of the next commit does not run: the site goes back with it, and nothing comes to production.
        shop.release_plays(2, "crash-loop");
        release(&shop, "shop-web", "web", 2).await;
        release(&shop, "shop-api", "api", 2).await;
        let left = format!("Promote {} RolledBack", set(2));
        let back = format!("Rollback {} Succeeded", set(1));
        let records = shop
            .until_told("shop-staging", &[&first, &left, &back])
            .await;
        assert_eq!(records[2].spec.members, records[0].spec.members);
        let held = shop
            .until("shop-staging", "holds the set", |status| {
                let mut holds = status.holds.iter();
                holds.any(|hold| hold.release.as_ref() == Some(&set(2)))
            })
            .await;
        assert_eq!(held.current[0].release, set(1));
        shop.until_told("shop-production", &[&first]).await;
    })
    .await;
}
