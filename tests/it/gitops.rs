//! What GitOps tools make of our objects, by the libraries that these tools are made of: how they read statuses, what Argo CD's
//! scripts say and do, and what comes of applying the same folder again and again.

mod action; // what Argo CD's actions make
mod health; // every version of every object, against the table in docs/gitops.md
mod helm; // Helm 4, which waits
mod sync; // folders that are applied again and again, and pruned
mod weight; // tools that take weights back, and such as leave them alone

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use slipway::kinds::KINDS;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::AbortHandle;

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for};

/// What people put into their argocd-cm.
fn argocd_cm() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/argocd/argocd-cm.yaml");
    path.display().to_string()
}

/// What the program answers to objects, line by line.
async fn gitops(args: &[&str], objects: &[Value]) -> Vec<Value> {
    testbed::programs::ensure(&["gitops"]).await.unwrap();
    let mut child = Command::new(testbed::programs::path_of("gitops").unwrap())
        .args(args)
        .env("KUBECONFIG", kubeconfig_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = objects.iter().map(|object| format!("{object}\n")).collect();
    let write = async move {
        // One that has found something wrong before does not read to the end, and says more than this would.
        let _ = input.write_all(lines.concat().as_bytes()).await;
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "gitops {args:?}: {said}");
    let answers = String::from_utf8(output.stdout).unwrap();
    answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Versions of objects, by kind, name and resource version.
type Versions = BTreeMap<(String, String, String), Value>;

/// Every version of our objects in a namespace, from now on.
struct Recorder {
    seen: Arc<Mutex<Versions>>,
    tasks: Vec<AbortHandle>,
}

impl Recorder {
    fn start(space: &Space) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let watch = |kind: &'static str| {
            let versions = watcher(space.api(kind), watcher::Config::default()).applied_objects();
            let seen = Arc::clone(&seen);
            let task = tokio::spawn(versions.for_each(move |version| {
                if let Ok(object) = version {
                    let version = object.resource_version().unwrap_or_default();
                    let key = (kind.to_owned(), object.name_any(), version);
                    let mut object = serde_json::to_value(object).unwrap();
                    object["apiVersion"] = json!("slipway.dev/v1alpha1");
                    object["kind"] = json!(kind);
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.insert(key, object);
                }
                std::future::ready(())
            }));
            task.abort_handle()
        };
        let tasks = KINDS.iter().map(|info| watch(info.kind)).collect();
        Self { seen, tasks }
    }

    /// All of them, the newest of each object included: a watch may tell of it a moment after others have read it.
    async fn versions(&self, space: &Space) -> Vec<Value> {
        wait_for("the watches to catch up", SOON, async || {
            for info in KINDS {
                let there = space.api(info.kind).list(&ListParams::default()).await;
                for object in there.unwrap() {
                    let version = object.resource_version().unwrap_or_default();
                    let key = (info.kind.to_owned(), object.name_any(), version);
                    if !self.seen().contains_key(&key) {
                        return None;
                    }
                }
            }
            Some(())
        })
        .await;
        self.seen().values().cloned().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Versions> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What applies a folder.
#[derive(Clone, Copy, Debug)]
enum Tool {
    Flux,
    /// By patches that are computed on the client.
    ArgoClient,
    ArgoServer,
}

/// A folder of manifests that a tool brings into a namespace.
struct Folder {
    tool: Tool,
    namespace: String,
    place: TempDir,
}

impl Folder {
    fn new(tool: Tool, space: &Space) -> Self {
        let place = TempDir::new().unwrap();
        std::fs::create_dir(place.path().join("shop")).unwrap();
        Self {
            tool,
            namespace: space.name.clone(),
            place,
        }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("shop")
    }

    fn write(&self, name: &str, manifest: &Value) {
        // JSON is YAML too.
        let file = self.path().join(format!("{name}.yaml"));
        std::fs::write(file, manifest.to_string()).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(format!("{name}.yaml"))).unwrap();
    }

    /// Has the tool apply it; what became of the objects, in its own words, by their names.
    async fn sync(&self) -> Vec<String> {
        let folder = self.path().display().to_string();
        let inventory = self.place.path().join("inventory").display().to_string();
        let (namespace, config) = (self.namespace.as_str(), argocd_cm());
        let args = match self.tool {
            Tool::Flux => vec!["flux", &folder, namespace, &inventory],
            Tool::ArgoClient => vec!["argo", &folder, namespace, "client", &config],
            Tool::ArgoServer => vec!["argo", &folder, namespace, "server", &config],
        };
        let answers = gitops(&args, &[]).await;
        let results = answers.iter().filter(|answer| answer["object"].is_string());
        let in_words = |answer: &Value| {
            let word = |key: &str| answer[key].as_str().unwrap().to_owned();
            format!("{}: {}", word("object"), word("result"))
        };
        results.map(in_words).collect()
    }

    /// What Argo CD shows as different from the folder, and what as to be pruned.
    async fn differences(&self) -> BTreeSet<String> {
        let folder = self.path().display().to_string();
        let args = ["argo", &folder, &self.namespace, "diff", &argocd_cm()];
        let answers = gitops(&args, &[]).await;
        let lists = ["outOfSync", "extra"].map(|list| answers[0][list].as_array().unwrap().clone());
        let names = lists.iter().flatten();
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }
}
