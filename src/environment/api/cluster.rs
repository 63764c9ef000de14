//! What it looks like in YAML that an Environment is in another cluster. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::place::Place;
use crate::model::secret::SecretKey;
use crate::schema;

/// The cluster that the Rollouts of an Environment are in.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTarget {
    /// How the cluster is reached: a kubeconfig in a Secret of the Environment's namespace that carries the label `slipway.dev/use`. It is
    /// whole in itself: no commands, no paths to files, no proxy. Example: `{name: prod-eu, key: kubeconfig}`.
    pub kubeconfig_secret_ref: SecretKey,
    /// Context of the kubeconfig. Default: its `current-context`. Example: `prod-eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub context: Option<String>,
    /// Namespace there, in which the Rollouts are and the mirror of the Environment is made; it has to be there. Default: a
    /// namespace of the same name as the one that the Environment is in. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub namespace: Option<String>,
    /// ServiceAccount of that namespace that everything there is read and written as, by impersonation: the user of the
    /// kubeconfig needs `impersonate` on it, and nothing else. Default: the user of the kubeconfig itself.
    /// Example: `slipway-hub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub service_account_name: Option<String>,
}

impl ClusterTarget {
    /// Where the mirror of an Environment of namespace `home` is to be.
    pub fn place(&self, home: &str) -> Place {
        Place {
            home: home.to_owned(),
            kubeconfig: self.kubeconfig_secret_ref.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone().unwrap_or_else(|| home.to_owned()),
            account: self.service_account_name.clone(),
        }
    }
}

/// Where the mirror of an Environment is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    /// The kubeconfig that it was made with.
    pub kubeconfig_secret_ref: SecretKey,
    /// The context of it, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub context: Option<String>,
    /// The namespace there.
    #[schemars(transform = schema::name)]
    pub namespace: String,
    /// The ServiceAccount that it was made as, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub service_account_name: Option<String>,
    /// Its uid there, by which it is known again where only the way to it has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub uid: Option<String>,
    /// Since when it is to go, because the spec names another place, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving_since: Option<Time>,
}

impl MirrorStatus {
    /// That a mirror is at a place, or will be at once.
    pub fn at(place: &Place) -> Self {
        Self {
            kubeconfig_secret_ref: place.kubeconfig.clone(),
            context: place.context.clone(),
            namespace: place.namespace.clone(),
            service_account_name: place.account.clone(),
            uid: None,
            leaving_since: None,
        }
    }

    /// Whether it is at that place.
    pub fn is_at(&self, place: &Place) -> bool {
        self.place(&place.home) == *place
    }

    /// The place, for an Environment of namespace `home`.
    pub fn place(&self, home: &str) -> Place {
        Place {
            home: home.to_owned(),
            kubeconfig: self.kubeconfig_secret_ref.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            account: self.service_account_name.clone(),
        }
    }
}
