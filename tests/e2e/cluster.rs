//! The node, the operator on it, and the sample's images. Made once; every test plays on it.

use std::path::{Path, PathBuf};

use kube::Client;
use testbed::operator::{self, Programs};
use testbed::{Node, image};
use tokio::sync::OnceCell;

pub(crate) use testbed::operator::{NAMESPACE, RELEASE};

/// What every test needs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) node: Node,
    images: [String; 3],
}

/// Revisions of the sample. The third answers every twentieth request with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
    Bad,
}

impl Version {
    const ALL: [Self; 3] = [Self::One, Self::Two, Self::Bad];

    /// The revision that its answers carry.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "1.0.0",
            Self::Two => "2.0.0",
            Self::Bad => "3.0.0",
        }
    }

    fn error_percent(self) -> &'static str {
        match self {
            Self::One | Self::Two => "0",
            Self::Bad => "5",
        }
    }
}

/// The cluster, set up on first use.
pub(crate) async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(Cluster::set).await
}

impl Cluster {
    async fn set() -> Self {
        let node = Node::start("e2e").await.unwrap();
        let python = image::base::debian(node.registry()).await.unwrap();
        let mut images = Vec::new();
        for version in Version::ALL {
            images.push(build_sample(node.registry(), &python, version).await);
        }
        let cluster = Self {
            node,
            images: images.try_into().unwrap(),
        };
        cluster.install(&[]).await;
        cluster
    }

    /// A client with all rights. One per test: it belongs to the test's runtime.
    pub(crate) fn client(&self) -> Client {
        self.node.control_plane().client().unwrap()
    }

    /// The image of a version of the sample.
    pub(crate) fn image(&self, version: Version) -> &str {
        &self.images[version as usize]
    }

    /// Installs the chart with this tree's operator and its runner, or brings what is installed up to date. All stories have
    /// the same one from the beginning: an upgrade would be a new operator in the middle of what others measure.
    pub(crate) async fn install(&self, settings: &[&str]) {
        let programs = Programs {
            operator: env!("CARGO_BIN_EXE_slipway").into(),
            runner: Some(operator::static_runner().await.unwrap()),
        };
        operator::install(&self.node, &programs, settings)
            .await
            .unwrap();
    }

    /// Runs helm; panics with what it says when it fails.
    pub(crate) async fn helm(&self, args: &[&str]) -> String {
        operator::helm(self.kubeconfig(), args).await.unwrap()
    }

    /// Runs a program of the testbed against the cluster. The error is what it says.
    pub(crate) async fn run(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let said = operator::run(self.kubeconfig(), program, args).await;
        said.map_err(|error| format!("{error:#}"))
    }

    fn kubeconfig(&self) -> &Path {
        self.node.control_plane().kubeconfig_path()
    }
}

/// A path from the top of this repository.
pub(crate) fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Builds the sample as its own Dockerfile says, after an edit of the files that make it a version.
async fn build_sample(registry: &str, base: &str, version: Version) -> String {
    let sources = in_tree("examples/greeter");
    let context = std::env::temp_dir().join(format!(
        "slipway-e2e-{}-{}",
        std::process::id(),
        version.name()
    ));
    std::fs::create_dir_all(&context).unwrap();
    for file in ["Dockerfile", "app.py", "DELAY_MS"] {
        std::fs::copy(sources.join(file), context.join(file)).unwrap();
    }
    std::fs::write(context.join("VERSION"), version.name()).unwrap();
    std::fs::write(context.join("ERROR_PERCENT"), version.error_percent()).unwrap();
    let built = image::build_with(registry, &context, "demo/greeter", &[("BASE", base)]).await;
    std::fs::remove_dir_all(&context).unwrap();
    built.unwrap()
}
