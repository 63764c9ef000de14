//! Scripted nodes: Node objects whose kubelet is a script, on a real API server.
//!
//! The real scheduler binds pods to them and the real controllers see them become ready, crash,
//! wait for an image or be evicted, as the pod's annotation `testbed.slipway.dev/script` or a rule
//! says ([`Script`] has the grammar). Nothing runs: there is no exec, there are no probes and no
//! preStop hooks, and a pod's address leads nowhere. What containers say is what [`ScriptedNodes::say`] has them say. Only a container `claim` does what it does on a real node: it asks
//! the operator whether the pod may begin, with a token of the pod's own.
//! [`ScriptedGateway`] takes in HTTPRoutes, sooner or later.

mod begin;
mod gateway;
mod kubelet;
mod log;
mod node;
mod performer;
mod rules;
mod scene;
mod script;
mod status;

use std::sync::Arc;

use anyhow::Result;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::gateway::{ScriptedGateway, routes};
pub use self::node::RESERVED_LABEL;
pub use self::rules::{Rules, SCRIPT_ANNOTATION};
pub use self::script::{Behaviour, Exit, Script, Then};

use self::log::Voices;
use self::node::Nodes;

/// Running scripted nodes.
///
/// Dropping this stops them, as a power cut would: their Node objects stay, and the cluster finds
/// them gone after its grace period. [`ScriptedNodes::stop`] takes the objects back as well.
pub struct ScriptedNodes {
    nodes: Nodes,
    rules: watch::Sender<Rules>,
    voices: Arc<Voices>,
    _stop_on_drop: DropGuard,
}

impl ScriptedNodes {
    /// Registers the nodes `scripted-0`, `scripted-1`, … (at most 200), ready and free of taints, and
    /// starts playing the pods that are bound to them, also those that were there before.
    ///
    /// # Errors
    ///
    /// The API server refuses the nodes.
    pub async fn start(client: Client, count: u8, rules: Rules) -> Result<Self> {
        Self::start_as("scripted", client, count, rules).await
    }

    /// The same with nodes of another name, `<prefix>-0`, …: one name is played once in a cluster.
    ///
    /// # Errors
    ///
    /// The API server refuses the nodes.
    pub async fn start_as(prefix: &str, client: Client, count: u8, rules: Rules) -> Result<Self> {
        Self::start_for(None, prefix, client, count, rules).await
    }

    /// The same with nodes that take only pods which select them by the label [`RESERVED_LABEL`] with this value, and
    /// tolerate a taint of the same name.
    ///
    /// # Errors
    ///
    /// The API server refuses the nodes.
    pub async fn start_reserved(
        reserved: &str,
        prefix: &str,
        client: Client,
        rules: Rules,
    ) -> Result<Self> {
        Self::start_for(Some(reserved), prefix, client, 1, rules).await
    }

    async fn start_for(
        reserved: Option<&str>,
        prefix: &str,
        client: Client,
        count: u8,
        rules: Rules,
    ) -> Result<Self> {
        let stop = CancellationToken::new();
        let voices = Arc::new(Voices::new());
        let place = (prefix, count);
        let nodes = Nodes::register(client.clone(), place, reserved, &voices, &stop).await?;
        let (rules, played) = watch::channel(rules);
        let scene = (played, Arc::clone(&voices));
        kubelet::start(client, nodes.addresses(), scene, &stop);
        Ok(Self {
            nodes,
            rules,
            voices,
            _stop_on_drop: stop.drop_guard(),
        })
    }

    /// The names of the nodes.
    pub fn names(&self) -> Vec<String> {
        self.nodes.addresses().into_keys().collect()
    }

    /// From now on, pods with a container whose image contains `image` play this script, running
    /// ones too; pods with an annotation do not. An empty text is every image. Init containers
    /// succeed; where a rule for their image has a `message`, they leave it.
    ///
    /// # Errors
    ///
    /// The script cannot be read.
    pub fn set_rule(&self, image: &str, script: &str) -> Result<()> {
        let mut result = Ok(());
        self.rules
            .send_modify(|rules| result = rules.set(image, script));
        result
    }

    /// Takes a rule back.
    pub fn remove_rule(&self, image: &str) {
        self.rules.send_modify(|rules| rules.remove(image));
    }

    /// Containers of this image have said this too, and whoever reads or follows their logs hears of it.
    pub fn say(&self, image: &str, text: &str) {
        self.voices.say(image, text);
    }

    /// Stops the nodes and deletes their objects.
    ///
    /// # Errors
    ///
    /// The API server refuses.
    pub async fn stop(self) -> Result<()> {
        let Self {
            nodes,
            rules: _,
            voices: _,
            _stop_on_drop: guard,
        } = self;
        drop(guard);
        nodes.remove().await
    }
}

#[cfg(test)]
mod tests;
