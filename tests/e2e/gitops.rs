//! What Argo CD and Flux apply with, in the middle of a change and under load: they take back what was written into a route and a
//! Service of people's, again and again, until that is left to people. No request is lost by it.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, NAME, REPLICAS, SOON, is_phase, nothing_lost, wait_for, with_app};
use crate::cluster::Version;

/// Name of the route and the Service of people's.
const SHOP: &str = "shop";

/// What applies the folder.
#[derive(Clone, Copy, Debug)]
enum Tool {
    Flux,
    /// By patches that are computed on the client.
    ArgoClient,
    ArgoServer,
}

/// A folder of manifests, as people keep them in Git.
struct Folder<'a> {
    app: &'a App,
    place: TempDir,
}

impl<'a> Folder<'a> {
    async fn new(app: &'a App, manifests: &[Value]) -> Self {
        testbed::programs::ensure(&["gitops"]).await.unwrap();
        let place = TempDir::new().unwrap();
        std::fs::create_dir(place.path().join("shop")).unwrap();
        for manifest in manifests {
            let kind = manifest["kind"].as_str().unwrap();
            let file = place.path().join("shop").join(format!("{kind}.yaml"));
            // JSON is YAML too.
            std::fs::write(file, manifest.to_string()).unwrap();
        }
        Self { app, place }
    }

    /// Has the tool bring it into the namespace.
    async fn sync(&self, tool: Tool) {
        let folder = self.place.path().join("shop").display().to_string();
        let inventory = self.place.path().join("inventory").display().to_string();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/argocd/argocd-cm.yaml");
        let config = config.display().to_string();
        let namespace = self.app.namespace.as_str();
        let args = match tool {
            Tool::Flux => vec!["flux", &folder, namespace, &inventory],
            Tool::ArgoClient => vec!["argo", &folder, namespace, "client", &config],
            Tool::ArgoServer => vec!["argo", &folder, namespace, "server", &config],
        };
        let done = self.app.cluster.run("gitops", &args).await;
        done.unwrap_or_else(|said| panic!("{tool:?}: {said}"));
    }

    /// Has the tool bring it in again and again until the Rollout leaves the field to people.
    async fn contest(&self, tool: Tool) {
        let what = format!("the Rollout gives in to {tool:?}");
        wait_for(&what, SOON, async || {
            self.sync(tool).await;
            let status = &self.app.now().await["status"];
            let conditions = status["conditions"].as_array();
            let is_contested = conditions.is_some_and(|all| {
                all.iter()
                    .any(|one| one["type"] == "Stalled" && one["reason"] == "FieldContested")
            });
            if is_contested {
                Ok(())
            } else {
                Err(format!("{}: {}", status["phase"], status["message"]))
            }
        })
        .await;
    }
}

/// A route of people's to these.
fn route(app: &App, backends: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": SHOP, "namespace": app.namespace},
        "spec": {
            "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
            "hostnames": [app.host()], "rules": [{"backendRefs": backends}],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_route_that_argo_cd_and_flux_take_back_loses_no_request() {
    with_app(async |app| {
        let both = json!([
            {"name": format!("{NAME}-stable"), "port": 80, "weight": 100},
            {"name": format!("{NAME}-canary"), "port": 80, "weight": 0},
        ]);
        let folder = Folder::new(app, &[route(app, &both)]).await;
        folder.sync(Tool::ArgoClient).await;
        let extra = json!({
            "traffic": {"allowForeign": true, "gatewayAPI": {"generate": null, "httpRoutes": [{"name": SHOP}]}},
            "strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {}}]},
        });
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(50).await;
        folder.contest(Tool::ArgoClient).await;

        // Somebody has it tried again, and another tool comes by.
        app.decide("Resume").await;
        app.until_paused_at(50).await;
        folder.contest(Tool::Flux).await;

        // The way back is nothing that anybody holds up.
        app.decide("Abort").await;
        app.until_rolled_back().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("a route that two tools take back", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_service_that_argo_cd_and_flux_take_back_loses_no_request() {
    with_app(async |app| {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": SHOP, "namespace": app.namespace},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        let to_it = json!([{"name": SHOP, "port": 80}]);
        let folder = Folder::new(app, &[service, route(app, &to_it)]).await;
        folder.sync(Tool::ArgoServer).await;
        // With a selector that is wide, pods that end are told to go on for as long as the gateway may take to hear of it.
        let extra = json!({
            "traffic": {"gatewayAPI": null, "allowForeign": true, "services": {"stable": SHOP}, "drain": "10s"},
            "strategy": {"type": "BlueGreen", "maxSurge": "100%", "blueGreen": {"postPromotion": [{"pause": {}}]}},
        });
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        let paused = |rollout: &Value| is_phase(rollout, "Paused");
        app.until("Paused", paused).await;
        for tool in [Tool::ArgoServer, Tool::Flux] {
            folder.contest(tool).await;
            app.decide("Resume").await;
            app.until("Paused", paused).await;
        }
        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("a Service that two tools take back", load).await;
    })
    .await;
}
