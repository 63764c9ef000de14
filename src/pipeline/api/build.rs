//! Image builds. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::pipeline_run::api::TriggerKind;
use crate::schema::{self, closed_set};

/// An image build.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.builder) || self.builder != 'Buildah' || !has(self.isolation) || self.isolation in ['Auto', 'Chroot']",
     "Buildah has isolation Auto or Chroot: take one of them, or builder BuildKit"),
    ("(has(self.builder) && self.builder == 'Buildah') || !has(self.isolation) || self.isolation != 'Chroot'",
     "BuildKit has no isolation Chroot: set builder: Buildah, or isolation Auto, UserNamespace, Rootless or Privileged"),
    ("!has(self.forkImage) || self.forkImage != self.image",
     "forkImage is where other people's commits are pushed: name another repository than image"),
    ("!has(self.platformStrategy) || has(self.platforms)",
     "platformStrategy says how platforms are built: name platforms"),
]))]
pub struct Build {
    /// What builds: `BuildKit`, or `Buildah`, which needs no rights of the node. Default `BuildKit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// What keeps the build apart from its node: `Privileged`, `Rootless` and `UserNamespace` (BuildKit) or `Chroot`
    /// (Buildah); `Auto` is the first of them in the operator's `--build-isolation` that the builder has. Default `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Dockerfile, from the root of the repository. Default `Dockerfile`. Example: `services/api/Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub dockerfile: Option<String>,
    /// Folder that the build may read, from the root of the repository. Default `.`. Example: `services/api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub context_dir: Option<String>,
    /// Build stage of the Dockerfile that is the image. Default: the last one. Example: `runtime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = target)]
    pub target: Option<String>,
    /// Build arguments by name, at most 64. They end in the image's history: no secrets here.
    /// Example: `{PYTHON_VERSION: "3.12"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<64>)]
    pub args: BTreeMap<String, String>,
    /// Secrets that `RUN --mount=type=secret,id=…` can read and that end in no layer; at most 16, told apart by `id`.
    /// Example: `[{id: npm, secretRef: {name: npm, key: token}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_id::<16>)]
    pub secrets: Vec<BuildSecret>,
    /// Labels of the image, beside `org.opencontainers.image.source`, `.revision` and `.created`, which are there anyway
    /// and may be set to something else here; at most 32. Example: `{team: shop}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<32>)]
    pub labels: BTreeMap<String, String>,
    /// Repository to which the image is pushed, without tag or digest. The Release names the digest.
    /// Example: `registry.example/shop/api`.
    #[schemars(transform = schema::repository)]
    pub image: String,
    /// Further repositories to which the same image is pushed, of other registries for example; at most 8. The Release
    /// names `image`. Example: `[backup.example/shop/api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::repositories::<8>)]
    pub mirrors: Vec<String>,
    /// Pushes over http, for registries inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
    /// Login for the registries, for base images too. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<RegistryLogin>,
    /// What must have started a run for it to push; in others the image is built only, and there is no Release of it.
    /// An empty list never pushes. Default: all but `PullRequest`. Example: `[Push]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::words::<8>)]
    pub push_on: Option<Vec<TriggerKind>>,
    /// Repository, without tag or digest, to which a run of another repository's commit pushes once somebody has approved that
    /// commit, whatever `pushOn` says. No login is given to such a run, so the registry has to take it without one. Default: it
    /// pushes nothing. Example: `registry.forks.svc:5000/shop/api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::repository)]
    pub fork_image: Option<String>,
    /// Keeps what the steps of the Dockerfile made in the registry, so that the next build need not do them again.
    /// Default: every build starts from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<BuildCache>,
    /// Platforms of the image, at most 8; each is built by a Job of its own, and the image is an index of all of them.
    /// Default: the platform of the node. Example: `[linux/amd64, linux/arm64]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = platforms)]
    pub platforms: Vec<String>,
    /// Where platforms are built: `Native`, on a node of the same processor; `Emulated`, on any node, where steps that run
    /// something need an emulator, and those that only copy need none. Default `Native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_strategy: Option<PlatformStrategy>,
    /// Takes times from the commit, so that the same commit gives the same digest (if the Dockerfile does the same each
    /// time). `false` saves the time that it takes to rewrite layers. Default `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproducible: Option<bool>,
}

closed_set! {
    /// What builds images.
    #[derive(Default)]
    pub enum Builder {
        /// BuildKit.
        #[default]
        BuildKit,
        /// Buildah.
        Buildah,
    }
}

closed_set! {
    /// What keeps a build apart from its node.
    #[derive(Default)]
    pub enum Isolation {
        /// The first in the operator's list that the builder has.
        #[default]
        Auto,
        /// Privileged, in a user namespace of its own: root in there is nobody on the node.
        UserNamespace,
        /// As a user without rights, who makes a user namespace.
        Rootless,
        /// Root of the node.
        Privileged,
        /// Root of a container like others, with no isolation between its steps.
        Chroot,
    }
}

impl Builder {
    /// Whether it can be kept apart this way.
    pub const fn has(self, isolation: Isolation) -> bool {
        match isolation {
            Isolation::Auto => true,
            Isolation::UserNamespace | Isolation::Rootless | Isolation::Privileged => {
                matches!(self, Self::BuildKit)
            }
            Isolation::Chroot => matches!(self, Self::Buildah),
        }
    }
}

/// A secret that a build can read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BuildSecret {
    /// Name that the Dockerfile uses. Example: `npm`.
    #[schemars(transform = schema::name)]
    pub id: String,
    /// Where its value is.
    pub secret_ref: SecretKey,
}

/// A Secret of the same namespace with the login for registries.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryLogin {
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson` that carries the label `slipway.dev/use`.
    /// Example: `registry`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
}

/// A cache of build steps in a registry.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BuildCache {
    /// Repository in which it is kept: BuildKit writes tags `cache-<branch>` there, Buildah a tag for each step.
    /// Default: that of the image. Example: `registry.example/shop/api-cache`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::repository)]
    pub repository: Option<String>,
    /// Whose builds write it: `DefaultBranch` (that of the source), `EveryBranch`, or `Never`. All builds read what their own branch
    /// and the default branch have written. Default `DefaultBranch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<CacheExport>,
    /// What is written: `Max`, all steps, or `Min`, those that are in the image. Buildah always writes all.
    /// Default `Max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CacheMode>,
}

closed_set! {
    /// Whose builds write a cache.
    #[derive(Default)]
    pub enum CacheExport {
        /// Those of the branch of the source.
        #[default]
        DefaultBranch,
        /// All.
        EveryBranch,
        /// None.
        Never,
    }
}

closed_set! {
    /// What is written to a cache.
    #[derive(Default)]
    pub enum CacheMode {
        /// All steps.
        #[default]
        Max,
        /// Those that are in the image.
        Min,
    }
}

closed_set! {
    /// Where platforms are built.
    #[derive(Default)]
    pub enum PlatformStrategy {
        /// On a node of the same processor.
        #[default]
        Native,
        /// On any node.
        Emulated,
    }
}

/// Platforms, as registries name them.
fn platforms(schema: &mut schemars::Schema) {
    schema::words::<8>(schema);
    let item = serde_json::json!({
        "type": "string", "maxLength": 32, "pattern": "^linux/[a-z0-9]{1,16}(/v[0-9]{1,2})?$",
    });
    schema.insert("items".to_owned(), item);
}

/// The name of a build stage of a Dockerfile.
fn target(schema: &mut schemars::Schema) {
    schema.insert("minLength".to_owned(), 1.into());
    schema.insert("maxLength".to_owned(), 128.into());
    schema.insert("pattern".to_owned(), "^[A-Za-z0-9][A-Za-z0-9_.-]*$".into());
}

impl Build {
    /// What builds.
    pub fn builder(&self) -> Builder {
        self.builder.unwrap_or_default()
    }

    /// What keeps it apart from its node.
    pub fn isolation(&self) -> Isolation {
        self.isolation.unwrap_or_default()
    }

    /// The Dockerfile, from the root of the repository.
    pub fn dockerfile(&self) -> &str {
        self.dockerfile.as_deref().unwrap_or("Dockerfile")
    }

    /// The folder that the build may read, from the root of the repository.
    pub fn context_dir(&self) -> &str {
        self.context_dir.as_deref().unwrap_or(".")
    }

    /// Whether registries are spoken to over http.
    pub fn insecure_registry(&self) -> bool {
        self.insecure_registry.unwrap_or(false)
    }

    /// Whether a run that was started so pushes.
    pub fn pushes_on(&self, trigger: TriggerKind) -> bool {
        trigger.pushes(self.push_on.as_deref())
    }

    /// Where platforms are built.
    pub fn platform_strategy(&self) -> PlatformStrategy {
        self.platform_strategy.unwrap_or_default()
    }

    /// Whether the image is an index of several.
    pub fn is_index(&self) -> bool {
        self.platforms.len() > 1
    }

    /// Whether the same commit gives the same digest.
    pub fn is_reproducible(&self) -> bool {
        self.reproducible.unwrap_or(true)
    }
}

impl BuildCache {
    /// Whose builds write it.
    pub fn export(&self) -> CacheExport {
        self.export.unwrap_or_default()
    }

    /// What is written.
    pub fn mode(&self) -> CacheMode {
        self.mode.unwrap_or_default()
    }
}
