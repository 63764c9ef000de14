//! Pods of stages that call a real operator with real tokens: what they say is kept, and one of them may go on.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::receiver::TOKEN_HEADER;
use slipway::receiver::stage::READER_AUDIENCE;
use slipway::runner::process::Stop;
use slipway::runner::task::{AUDIENCE, LogTask};
use slipway::runner::{log, ship};
use testbed::proxy::{Fault, Match, What};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::fault::proxied;
use crate::operator::Operator;
use crate::pipeline::Subject;

/// How far a log may be behind what a stage says.
const BEHIND: Duration = Duration::from_secs(5);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(space: &Space) -> Self {
        Self(std::env::temp_dir().join(format!("slipway-logs-{}", space.name)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(subject: &Subject, folder: &Folder, kubeconfig: &std::path::Path) -> Operator {
    let folder = folder.0.display().to_string();
    let args = ["--stage-listen", "127.0.0.1:0", "--log-folder", &folder];
    subject.operator_with(kubeconfig, &args)
}

/// A run whose stage is in the middle of it, and where its operator keeps what it says.
async fn begun(space: &Space) -> (Subject, Folder, Operator) {
    let subject = Subject::new(space).await;
    let folder = Folder::new(space);
    subject.plays("python", "exit=0,after=10m");
    subject.push("Begin").await;
    let operator = start(&subject, &folder, &kubeconfig_path());
    subject.create(&json!({})).await;
    (subject, folder, operator)
}

/// A token as the kubelet has it made: of a pod, or of none.
pub(crate) async fn token(space: &Space, pod: Option<&Pod>, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![audience.to_owned()]),
            expiration_seconds: Some(600),
            bound_object_ref: pod.map(|pod| BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await;
    made.unwrap().status.unwrap().token.unwrap()
}

/// The pod of stage `unit` of the run of a commit, once it is there.
pub(crate) async fn pod_of(space: &Space, known: &[String]) -> Pod {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
    wait_for("a pod of the stage", SOON, async || {
        let selector = ListParams::default().labels("slipway.dev/stage=unit");
        let all = pods.list(&selector).await.ok()?.items;
        all.into_iter().find(|pod| !known.contains(&pod.name_any()))
    })
    .await
}

/// Calls until an answer is one.
pub(crate) async fn call(
    address: &Mutex<String>,
    token: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let address = || address.lock().unwrap().clone();
    wait_for("an answer", SOON, async || {
        let url = format!("http://{}{path}", address());
        let request = http.post(url).bearer_auth(token).body(body.to_owned());
        let answer = request.timeout(Duration::from_secs(15)).send().await.ok()?;
        let status = answer.status().as_u16();
        (status < 500).then_some((status, answer.text().await.ok()?))
    })
    .await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pod_adds_to_its_own_log_and_people_of_its_namespace_read_it() {
    with_namespace(async |space| {
        let (subject, folder, operator) = begun(space).await;
        let pod = pod_of(space, &[]).await;
        let address = Mutex::new(operator.stage_address().await);

        let own = token(space, Some(&pod), AUDIENCE).await;
        let path = "/v1/log?offset=0&last=false";
        let said = call(&address, &own, path, "one\n").await;
        assert_eq!(said, (200, String::new()));
        let again = call(&address, &own, path, "one\n").await;
        assert_eq!(again, (409, "4\n".to_owned()));
        for other in [
            token(space, None, AUDIENCE).await,
            token(space, Some(&pod), "https://kubernetes.default.svc").await,
            token(space, Some(&pod), READER_AUDIENCE).await,
        ] {
            assert_eq!(call(&address, &other, path, "forged\n").await.0, 401);
        }

        let packed = call(&address, &own, "/v1/reports?offset=0&last=true", "packed").await;
        assert_eq!(packed, (200, String::new()));

        // Another process goes on with the same folder.
        operator.kill().await;
        let operator = start(&subject, &folder, &kubeconfig_path());
        *address.lock().unwrap() = operator.stage_address().await;
        let more = call(&address, &own, "/v1/log?offset=4&last=true", "two\n").await;
        assert_eq!(more.0, 200);

        let run = pod.labels()["slipway.dev/pipeline-run"].clone();
        let runs = Api::<slipway::pipeline_run::api::PipelineRun>::namespaced(
            space.client.clone(),
            &space.name,
        );
        let uid = runs.get(&run).await.unwrap().uid().unwrap();
        let base = format!("/v1/runs/{}/{run}/{uid}", space.name);
        let reader = token(space, None, READER_AUDIENCE).await;
        let read = async |token: &str, path: &str| {
            let url = format!("http://{}{path}", address.lock().unwrap());
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = http.get(url).header(TOKEN_HEADER, token).send().await;
            let answer = answer.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let (status, list) = read(&reader, &base).await;
        assert_eq!(status, 200, "{list}");
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list[0]["stage"], "unit");
        assert_eq!(list[0]["isComplete"], true);
        let log = read(&reader, &format!("{base}/{}", pod.name_any())).await;
        assert_eq!(log, (200, "one\ntwo\n".to_owned()));
        let place = format!("{base}/{}/reports?offset=2", pod.name_any());
        let reports = read(&reader, &place).await;
        assert_eq!(reports, (200, "cked".to_owned()));
        assert_eq!(read(&own, &base).await.0, 401, "a stage reads nothing");
        let elsewhere = read(&reader, &format!("/v1/runs/default/{run}/{uid}")).await;
        assert_eq!(elsewhere.0, 401);
    })
    .await;
}

/// What the container beside a stage does is done here, by the same program. A line is written when the one before has come, so
/// that it has to wait as long as any has to. Of three the best counts: others use the machine too.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_a_stage_says_is_kept_within_five_seconds() {
    with_namespace(async |space| {
        let (subject, _folder, operator) = begun(space).await;
        let pod = pod_of(space, &[]).await;
        let address = operator.stage_address().await;
        let files = tempfile::TempDir::new().unwrap();
        let task = LogTask {
            url: format!("http://{address}"),
            token_file: files.path().join("token"),
            folder: files.path().to_owned(),
            max_bytes: 1 << 20,
        };
        let own = token(space, Some(&pod), AUDIENCE).await;
        std::fs::write(&task.token_file, own).unwrap();

        let run = pod.labels()["slipway.dev/pipeline-run"].clone();
        let run = subject.runs.get(&run).await.unwrap();
        let (name, uid) = (run.name_any(), run.uid().unwrap());
        let pod = pod.name_any();
        let place = format!("http://{address}/v1/runs/{}/{name}/{uid}/{pod}", space.name);
        let reader = token(space, None, READER_AUDIENCE).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut said = String::new();
        let mut says = async |line: &str| {
            said.push_str(line);
            let mut all = OpenOptions::new();
            let file = all.create(true).append(true);
            let file = file.open(task.folder.join(log::name(0)));
            file.unwrap().write_all(line.as_bytes()).unwrap();
            let begun = Instant::now();
            wait_for("the line is kept", SOON, async || {
                let request = http.get(&place).header(TOKEN_HEADER, &reader);
                let kept = request.send().await.ok()?.text().await.ok()?;
                (kept == said).then_some(())
            })
            .await;
            begun.elapsed()
        };
        let measured = async {
            // Nobody knows the pod yet, so this one may take longer.
            says("begin\n").await;
            let mut best = Duration::MAX;
            for line in ["one\n", "two\n", "three\n"] {
                best = best.min(says(line).await);
                if best < BEHIND {
                    break;
                }
            }
            best
        };
        let mut stop = Stop::listen().unwrap();
        let best = tokio::select! {
            () = ship::run(&task, &mut stop) => panic!("nobody has asked it to end"),
            best = measured => best,
        };
        assert!(best < BEHIND, "{best:?} behind");
    })
    .await;
}

/// Four processes of one attempt, as of a node that starts its pods again, ask at once while answers are lost and the
/// operator is killed after it has written: a ledger outside of the cluster has one line for the attempt.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_attempt_is_begun_once_whatever_is_lost() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let folder = Folder::new(space);
        subject.plays("python", "exit=0,after=10m");
        let (proxy, kubeconfig) = proxied(space).await;
        let mut operator = start(&subject, &folder, &kubeconfig);
        subject.create(&json!({})).await;
        let address = Mutex::new(operator.stage_address().await);
        let mut known = Vec::new();
        for round in ["lost", "killed", "refused"] {
            subject.push(round).await;
            let pod = pod_of(space, &known).await;
            known.push(pod.name_any());
            let what = match round {
                "lost" => What::CutAfter,
                "killed" => What::KillPid(operator.pid()),
                _ => What::Status(500),
            };
            let claims = Match::writes().path("/configmaps");
            let injected = proxy.inject(Fault::new(claims, what));
            let token = token(space, Some(&pod), AUDIENCE).await;
            let asking = (0..4).map(async |number| {
                let nonce = format!("process-{number}");
                let (status, _) = call(&address, &token, "/v1/claim", &nonce).await;
                (number, status)
            });
            let replaced = async {
                if round == "killed" {
                    operator.ended().await;
                    operator = start(&subject, &folder, &kubeconfig);
                    let next = operator.stage_address().await;
                    *address.lock().unwrap() = next;
                }
            };
            let (answers, ()) = tokio::join!(futures::future::join_all(asking), replaced);
            let ledger: Vec<_> = answers
                .iter()
                .filter(|(_, status)| *status == 200)
                .collect();
            assert_eq!(ledger.len(), 1, "{round}: {answers:?}");
            assert!(injected.hits() > 0, "{round}");
            injected.remove();
        }
    })
    .await;
}
