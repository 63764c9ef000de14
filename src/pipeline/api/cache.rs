//! What stages keep for the stages of later runs: caches. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RegistryLogin;
use crate::schema::{self, closed_set};

/// Folders that are kept from one run to the next, as archives told apart by a key. Losing one costs time, and nothing else.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Name of the cache; stages name it. Example: `pip`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Folders that are kept, 1 to 8: paths in the container, or from the root of the repository. They are empty
    /// when nothing was kept: what the image has there is not seen. Example: `[/root/.cache/pip]`.
    #[schemars(length(min = 1), transform = schema::folders::<8>)]
    pub paths: Vec<String>,
    /// What an archive fits. Default: one archive fits everything, and is never made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CacheKey>,
    /// What is taken where no archive fits exactly: `Newest` one of this cache for the same variables, or none.
    /// Default `Newest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<CacheFallback>,
    /// Which runs keep what they have: those of the `Branch` of the source, so that what others leave never reaches
    /// it, `Always`, or `Never`. Only stages that succeed do. Default `Branch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save: Option<CacheSave>,
    /// Size of all archives of the cache together; the ones that were not used for longest go first, and one that
    /// is larger is not kept. A quantity in bytes; default `2Gi`. Example: `500Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::byte_quantity)]
    pub max_size: Option<String>,
}

/// What tells the archives of a cache apart.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CacheKey {
    /// Files of the repository whose content is part of the key, as globs; at most 16. Default: none.
    /// Example: `[requirements.txt, "**/package-lock.json"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<16>)]
    pub files: Vec<String>,
    /// Environment variables of the stage whose values are part of the key, at most 8; not those of Secrets.
    /// Default: none. Example: `[PYTHON]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::variable_names::<8>)]
    pub env: Vec<String>,
}

closed_set! {
    /// What is taken where no archive fits exactly.
    #[derive(Default)]
    pub enum CacheFallback {
        /// The newest archive for the same variables.
        #[default]
        Newest,
        /// Nothing.
        None,
    }
}

closed_set! {
    /// Which runs keep what they have.
    #[derive(Default)]
    pub enum CacheSave {
        /// Those of the branch of the source.
        #[default]
        Branch,
        /// All.
        Always,
        /// None.
        Never,
    }
}

/// Where archives of caches are: in a volume or in a registry.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.claimName) != has(self.registry)",
     "caches are in one place: set claimName or registry"),
]))]
pub struct CacheStorage {
    /// Name of a PersistentVolumeClaim of the same namespace. Every Pipeline has a folder of its own in it.
    /// Stages on several nodes need one of mode `ReadWriteMany`. Default: none, and `registry` is set. Example: `ci-caches`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub claim_name: Option<String>,
    /// A registry that has them as artifacts, wherever stages run. Default: none, and `claimName` is set.
    /// Example: `{repository: registry.example/shop/caches, pushSecretRef: {name: registry}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<CacheRegistry>,
}

/// A repository of a registry with archives of caches. Containers of Slipway's own have the logins, and no script does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CacheRegistry {
    /// The repository, without tag or digest. Every cache of a Pipeline has a tag of its own there,
    /// `caches-<pipeline>-<cache>-<hash>`. Example: `registry.example/shop/caches`.
    #[schemars(transform = schema::repository)]
    pub repository: String,
    /// Speaks http, for registries inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
    /// Login that takes archives. Runs of another repository's commit have this one only. Default: `pushSecretRef`, where a run may
    /// have that, or none. Example: `{name: registry-read}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<RegistryLogin>,
    /// Login that keeps archives, for runs that keep any. Default: none. Example: `{name: registry}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<RegistryLogin>,
}

impl CacheRegistry {
    /// Whether it is spoken to over http.
    pub fn insecure_registry(&self) -> bool {
        self.insecure_registry.unwrap_or(false)
    }

    /// The login that takes archives.
    pub fn pull_login(&self) -> Option<&RegistryLogin> {
        self.pull_secret_ref
            .as_ref()
            .or(self.push_secret_ref.as_ref())
    }
}

impl Cache {
    /// What is taken where no archive fits exactly.
    pub fn fallback(&self) -> CacheFallback {
        self.fallback.unwrap_or_default()
    }

    /// Which runs keep what they have.
    pub fn save(&self) -> CacheSave {
        self.save.unwrap_or_default()
    }

    /// Size of all archives together, in bytes.
    pub fn max_bytes(&self) -> u64 {
        const DEFAULT: u64 = 2 << 30;
        self.max_size.as_deref().and_then(bytes).unwrap_or(DEFAULT)
    }
}

/// A quantity in bytes, as Kubernetes writes it with powers of two.
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 4] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    let unit = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        let sizes = ["512", "3Ki", "500Mi", "2Gi", "1Ti"].map(bytes);
        assert_eq!(sizes, [512, 3 << 10, 500 << 20, 2 << 30, 1 << 40].map(Some));
        assert_eq!(["2G", "", "-1", "99999999999Ti"].map(bytes), [None; 4]);
    }
}
