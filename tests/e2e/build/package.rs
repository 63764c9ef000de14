//! A package beside an image, the image tried out as it was pushed, and both at a version.

use kube::api::ListParams;
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use super::{Workshop, digest, pulled, stage, tagged};
use crate::app::with_app;

/// A wheel, and how large it is.
const WHEEL: &str = "parcels-1.2.0-py3-none-any.whl";

/// The Release of a run.
async fn release(workshop: &Workshop<'_>, name: &Value) -> Value {
    let releases = workshop.app.api(ObjectKind::Release);
    let found = releases.list(&ListParams::default()).await.unwrap();
    let is_it = |one: &&kube::api::DynamicObject| one.metadata.name.as_deref() == name.as_str();
    found.iter().find(is_it).unwrap().data["spec"].clone()
}

/// Files of a script become an artifact by digest, in the Release beside the image that was tried out; a run of a tag gives
/// the image its versions.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_package_and_an_image_that_was_tried_out_are_released_and_get_their_version() {
    with_app(async |app| {
        let workshop = Workshop::new(app).await;
        let web = json!({
            "name": "web", "imageFrom": "api", "command": ["httpd", "-f", "-h", "/", "-p", "8080"], "ready": {"tcp": 8080},
        });
        let stages = [
            workshop.stage("api", &json!({})),
            json!({
                "name": "wheel", "type": "Custom", "image": workshop.busybox,
                // A file that nobody else may read, and a link to what is none of the repository's.
                "run": format!(
                    "mkdir dist && umask 077 && echo wheel > dist/{WHEEL} && ln -s /etc/passwd dist/more-1.2.0-py3-none-any.whl"
                ),
                "packages": [{
                    "name": "parcels", "type": "Wheel", "files": ["dist/*.whl"],
                    "repository": workshop.image("parcels"), "insecureRegistry": true,
                }],
            }),
            json!({
                "name": "smoke", "type": "Smoke", "needs": ["api"], "imageFrom": "api", "services": [web],
                "run": "test \"$(cat /hello)\" = hello && wget -q -O - http://web:8080/hello",
            }),
            json!({
                "name": "docs", "type": "Test", "image": workshop.busybox, "changes": ["docs/**"], "run": "true",
            }),
            json!({"name": "tags", "type": "Tag", "tag": {"names": ["{{version}}", "{{minor}}", "{{latest}}"]}}),
        ];
        workshop.apply(&stages).await;
        let sha = workshop.push("ARG BASE\nFROM $BASE\nCOPY hello /hello\n").await;
        let first = workshop.ended(&sha, "Push").await;
        assert_eq!(first["phase"], "Succeeded", "{first}");
        assert!(workshop.log(stage(&first, "smoke")).await.contains("hello"));
        assert_eq!(stage(&first, "tags")["skippedBecause"], "Nothing", "no version");
        let released = release(&workshop, &first["release"]).await;
        let package = digest(&first, "parcels");
        assert_eq!(released["packages"][0]["digest"], package);
        assert_eq!(released["packages"][0]["version"], "1.2.0");
        assert_eq!(released["images"][0]["digest"], digest(&first, "api"));

        let (manifest, _) = pulled(&workshop.image("parcels"), package).await;
        let files = manifest["layers"].as_array().unwrap();
        assert_eq!(files.len(), 1, "{manifest}");
        let title = &files[0]["annotations"]["org.opencontainers.image.title"];
        assert_eq!((title, &files[0]["size"]), (&json!(WHEEL), &json!(6)));
        assert_eq!(manifest["annotations"]["org.opencontainers.image.revision"], sha);

        workshop.repository.tag("v1.2.0", &sha).await.unwrap();
        workshop.again_at("refs/tags/v1.2.0", &sha).await;
        let version = workshop.ended(&sha, "Manual").await;
        assert_eq!(version["phase"], "Succeeded", "{version}");
        assert_eq!(digest(&version, "parcels"), package, "the same files");
        for tag in ["1.2.0", "1.2", "latest"] {
            let (found, _) = tagged(&workshop.image("api"), tag).await;
            assert_eq!(found, digest(&version, "api"), "{tag}");
        }
        let docs = stage(&version, "docs");
        assert_eq!(docs["skippedBecause"], "Unchanged", "{docs}");
    })
    .await;
}
