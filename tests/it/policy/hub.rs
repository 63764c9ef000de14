//! The user that the operator of another cluster comes as: it keeps mirrors, and nothing else.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{
    ADMIN, assert_refused, bind, create_as, delete_as, environment_spec, grant, object, patch_as,
};
use crate::cluster::{HUB, with_guarded_namespace};

const MIRROR_OF: &str = "slipway.dev/mirror-of";

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_hub_keeps_mirrors_and_touches_nothing_else() {
    with_guarded_namespace(async |space| {
        let verbs = ["list", "create", "patch", "delete", "protect"];
        grant(space, HUB, &verbs, &["environments"]).await;
        grant(space, HUB, &["patch"], &["environments/status"]).await;
        bind(space, "root", ADMIN).await;
        create_as(space, "root", "Environment", "staging", &environment_spec())
            .await
            .unwrap();

        let mut mirror = object("Environment", "production", &environment_spec());
        let label = (MIRROR_OF.to_owned(), "shop.production".to_owned());
        mirror.metadata.labels = Some(BTreeMap::from([label]));
        let api = space.api_as(HUB, &[], "Environment").await;
        api.create(&PostParams::default(), &mirror).await.unwrap();
        let tier = json!({"spec": {"tier": "Development"}});
        patch_as(space, HUB, "Environment", "production", &tier)
            .await
            .unwrap();
        let status = json!({"status": {"message": "mirrors"}});
        let (params, told) = (PatchParams::default(), Patch::Merge(&status));
        api.patch_status("production", &params, &told)
            .await
            .unwrap();

        // One stays a mirror, and of the same Environment; what is none does not become one.
        for (name, of) in [
            ("production", json!("shop.other")),
            ("production", Value::Null),
            ("staging", json!("shop.staging")),
        ] {
            let labels = json!({"metadata": {"labels": {(MIRROR_OF): of}}});
            let labelled = patch_as(space, HUB, "Environment", name, &labels).await;
            assert_refused(labelled, "keep mirrors only");
        }
        let made = create_as(space, HUB, "Environment", "other", &environment_spec()).await;
        assert_refused(made, "keep mirrors only");
        let edited = patch_as(space, HUB, "Environment", "staging", &tier).await;
        assert_refused(edited, "keep mirrors only");
        let told = api.patch_status("staging", &params, &told).await;
        assert_refused(told, "is written by the operator only");
        let deleted = delete_as(space, HUB, "Environment", "staging").await;
        assert_refused(deleted, "keep mirrors only");
        delete_as(space, HUB, "Environment", "production")
            .await
            .unwrap();
    })
    .await;
}
