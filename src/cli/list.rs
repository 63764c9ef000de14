//! Verbs that list what Pipelines have made: the same arguments, the same order. Talks to the API server.

use std::cmp::Reverse;
use std::fmt::Debug;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cluster::{Place, Server};
use super::text::Palette;
use super::{Answer, Output};

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// Only those of this Pipeline.
    #[arg(long)]
    pub pipeline: Option<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// What people see of them.
type Table<K> = fn(&[K], Timestamp, Palette) -> String;

/// Lists them, newest first.
pub(super) async fn list<K>(
    args: &Args,
    pipeline: fn(&K) -> &str,
    (table, palette): (Table<K>, Palette),
) -> Result<Answer, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let server = Server::at(&args.place).await?;
    let mut all: Vec<K> = server.list("").await?;
    let wanted = args.pipeline.as_ref();
    all.retain(|one| wanted.is_none_or(|name| pipeline(one) == name));
    all.sort_by_key(|one| Reverse((one.creation_timestamp(), one.name_any())));
    let document = args.output.document(&all);
    Ok(Answer {
        text: document.unwrap_or_else(|| table(&all, server.now(), palette)),
        ..Answer::default()
    })
}
