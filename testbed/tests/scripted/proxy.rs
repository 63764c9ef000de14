//! The proxy in front of a real API server.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testbed::programs;
use testbed::proxy::{Fault, Match, What};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::cluster::{in_cluster, in_front_of};

fn a_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

async fn names(maps: &Api<ConfigMap>) -> Result<Vec<String>> {
    let maps = maps.list(&ListParams::default()).await?;
    let names = maps.iter().map(ResourceExt::name_any);
    // Every namespace gets this one.
    Ok(names.filter(|name| name != "kube-root-ca.crt").collect())
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_write_whose_answer_is_lost_has_happened() {
    in_cluster(async |space| {
        let proxy = in_front_of(&space.cluster.control_plane).await?;
        let maps = Api::<ConfigMap>::namespaced(proxy.client().await?, &space.name);
        let cut = proxy.inject(Fault::new(
            Match::writes().path("/configmaps"),
            What::CutAfter,
        ));

        let lost = maps.create(&PostParams::default(), &a_map("a")).await;
        assert!(lost.is_err() && cut.hits() == 1, "{lost:?}");
        assert_eq!(names(&maps).await?, ["a"]);
        let again = maps
            .create(&PostParams::default(), &a_map("a"))
            .await
            .unwrap_err();
        assert!(matches!(&again, kube::Error::Api(status) if status.is_already_exists()));

        proxy.inject(Fault::new(Match::writes(), What::Status(503)));
        maps.create(&PostParams::default(), &a_map("b"))
            .await
            .context("kube tries 503 again")?;
        let statuses: Vec<u16> = proxy.writes().iter().map(|write| write.status).collect();
        assert_eq!(statuses, [201, 409, 201]);
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_watch_through_the_proxy_is_live() {
    in_cluster(async |space| {
        let proxy = in_front_of(&space.cluster.control_plane).await?;
        let maps = Api::<ConfigMap>::namespaced(proxy.client().await?, &space.name);
        let events = maps.watch(&WatchParams::default(), "0").await?;
        let mut events = std::pin::pin!(events);
        let direct = space.api::<ConfigMap>();
        for name in ["a", "b", "c"] {
            direct.create(&PostParams::default(), &a_map(name)).await?;
            loop {
                let next = timeout(Duration::from_secs(10), events.next()).await?;
                let event = next.context("the watch ended")??;
                if matches!(&event, WatchEvent::Added(map) if map.name_any() == name) {
                    break;
                }
            }
        }
        proxy.drop_connections();
        let end = timeout(Duration::from_secs(10), events.next()).await?;
        assert!(matches!(end, None | Some(Err(_))), "{end:?}");
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_program_is_killed_after_the_kth_write() {
    in_cluster(async |space| {
        programs::ensure(&["kubectl"]).await?;
        let proxy = in_front_of(&space.cluster.control_plane).await?;
        let dir = std::env::temp_dir().join(&space.name);
        std::fs::create_dir_all(&dir)?;
        let (kubeconfig, list) = (dir.join("kubeconfig"), dir.join("maps.json"));
        proxy.write_kubeconfig(&kubeconfig)?;
        let maps: Vec<_> = ["a", "b", "c", "d", "e"].map(a_map).into();
        let items = json!({"apiVersion": "v1", "kind": "List", "items": maps});
        std::fs::write(&list, serde_json::to_vec(&items)?)?;

        // The shell becomes kubectl, with the process number that the fault was given.
        let mut child = Command::new("sh")
            .args(["-c", "read go; exec \"$@\"", "sh"])
            .arg(programs::path_of("kubectl")?)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--namespace", &space.name, "create", "-f"])
            .arg(&list)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it has ended")?;
        let kill = proxy.inject(Fault::new(Match::writes(), What::KillPid(pid)).nth(3));
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(b"go\n").await?;
        let ended = timeout(Duration::from_secs(30), child.wait()).await?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended?);
        std::fs::remove_dir_all(&dir)?;

        assert_eq!((signal, kill.hits()), (Some(9), 1));
        assert_eq!(names(&space.api()).await?, ["a", "b", "c"]);
        let writes = proxy.writes();
        let answered: Vec<bool> = writes.iter().map(|write| write.is_answered).collect();
        assert_eq!(answered, [true, true, false]);
        let path = format!("/api/v1/namespaces/{}/configmaps", space.name);
        let is_create = writes
            .iter()
            .all(|w| w.method == Method::POST && w.path == path);
        is_create.then_some(()).ok_or_else(|| anyhow!("{writes:?}"))
    });
}
