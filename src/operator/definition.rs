//! Whether the definitions in the cluster are as new as this process. The API server drops fields that a definition does not
//! have from what is written, without a word, so that somebody has to say it. Anybody may read what it publishes of its kinds:
//! it takes no right. Talks to the API server.

use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::time::interval;
use tracing::{debug, info, warn};

use crate::crd::{self, field};
use crate::error::chain;
use crate::kinds::{GROUP, KINDS, VERSION};
use crate::web::Health;

/// Time between two looks, as long as something is missing. Definitions that were applied a moment ago are not published at once,
/// so that one look is not believed.
const LOOK: Duration = Duration::from_secs(10);
/// Fields that are named.
const MAX_NAMED: usize = 12;

/// Looks until the definitions have every field, says which ones they lack when two looks have found the same, and says when
/// that is over. It holds nothing up: all that does not need those fields works.
pub(super) async fn watch(client: Client, health: Health) {
    let mut before = Vec::new();
    let mut told = Vec::new();
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        match lacking(&client).await {
            Ok(now) if now.is_empty() => {
                health.set_notice(None);
                if told.is_empty() {
                    debug!("the definitions have every field");
                } else {
                    info!("the definitions have every field now");
                }
                return;
            }
            Ok(now) => {
                if now == before && now != told {
                    let said = sentence(&now);
                    health.set_notice(Some(said.clone()));
                    warn!("{said}");
                    told.clone_from(&now);
                }
                before = now;
            }
            Err(error) => {
                let error = chain(&error);
                info!(
                    error,
                    "whether the definitions have every field is not known"
                );
            }
        }
    }
}

/// What the definitions lack, by kind and path.
async fn lacking(client: &Client) -> Result<Vec<String>, kube::Error> {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    let published: Value = client.request(request).await?;
    Ok(lacking_of(&published))
}

/// The same of what the API server has published.
fn lacking_of(published: &Value) -> Vec<String> {
    let schemas = published.pointer("/components/schemas");
    let schemas = schemas.and_then(Value::as_object);
    let of = |kind: &str| {
        let mut all = schemas.into_iter().flat_map(serde_json::Map::values);
        all.find(|schema| {
            let named = schema.pointer("/x-kubernetes-group-version-kind/0");
            named.is_some_and(|named| named["kind"] == kind && named["group"] == GROUP)
        })
    };
    let lacks = KINDS.iter().flat_map(|info| {
        let wanted = crd::schema_of(info).unwrap_or_default();
        // A kind that is not there at all is looked for before anything starts.
        let found = of(info.kind).map(|served| field::lacking(&wanted, served));
        let found = found.into_iter().flatten();
        found.map(|path| format!("{} {path}", info.kind))
    });
    lacks.collect()
}

/// What people read.
fn sentence(lacks: &[String]) -> String {
    let named: Vec<&str> = lacks.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = match lacks.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "the definitions in the cluster are older than this operator and lack {}{more}; what is written there is dropped or \
         refused; apply the definitions of this version: slipway crds | kubectl apply --server-side -f -, or crds.install in \
         the chart",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn published(kind: &str, schema: &Value) -> Value {
        let mut schema = schema.clone();
        let named = json!([{"group": GROUP, "kind": kind, "version": VERSION}]);
        schema["x-kubernetes-group-version-kind"] = named;
        json!({"components": {"schemas": {"dev.slipway.v1alpha1.X": schema}}})
    }

    #[test]
    fn what_is_published_is_compared_kind_by_kind() {
        let info = &KINDS[0];
        let mut schema = crd::schema_of(info).unwrap();
        assert_eq!(lacking_of(&published(info.kind, &schema)), [""; 0]);
        let fields = schema.pointer_mut("/properties/status/properties");
        let fields = fields.and_then(Value::as_object_mut).unwrap();
        fields.remove("conditions").unwrap();
        let lacks = lacking_of(&published(info.kind, &schema));
        assert_eq!(lacks, [format!("{} status.conditions", info.kind)]);
        assert_eq!(lacking_of(&json!({})), [""; 0]);
    }

    #[test]
    fn many_fields_are_counted_and_what_to_do_is_said() {
        let lacks: Vec<String> = (0..14)
            .map(|number| format!("Rollout status.f{number}"))
            .collect();
        let said = sentence(&lacks);
        assert!(said.contains("lack Rollout status.f0, "), "{said}");
        assert!(said.contains("status.f11 and 2 more; "), "{said}");
        assert!(said.contains("slipway crds | kubectl apply"), "{said}");
        assert!(!sentence(&lacks[..1]).contains("more;"));
    }
}
