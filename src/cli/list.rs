//! Verbs that list objects: the same arguments, the same order, the same columns in front. Talks to the API server.

use std::cmp::Reverse;
use std::fmt::Debug;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cluster::{Place, Server};
use super::text::{Cell, Palette, Table};
use super::{Answer, ObjectOutput};

/// Which objects, and how.
#[derive(Debug, clap::Args)]
pub struct Many {
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// Those of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only those with these labels, as kubectl takes them: app=api,tier!=test.
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = ObjectOutput::Table)]
    pub output: ObjectOutput,
}

/// Which ones of those that Pipelines have made.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which ones.
    #[command(flatten)]
    pub many: Many,
    /// Only those of this Pipeline.
    #[arg(long)]
    pub pipeline: Option<String>,
}

/// What people see of them, with more columns or without.
type Columns<K> = fn(&[K], Timestamp, bool) -> Table;

/// Lists what Pipelines have made, newest first.
pub(super) async fn list<K>(
    args: &Args,
    pipeline: fn(&K) -> &str,
    (columns, palette): (Columns<K>, Palette),
) -> Result<Answer, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let server = Server::at(&args.many.place).await?;
    let mut all: Vec<K> = read(&server, &args.many).await?;
    let wanted = args.pipeline.as_ref();
    all.retain(|one| wanted.is_none_or(|name| pipeline(one) == name));
    all.sort_by_key(|one| Reverse((one.creation_timestamp(), one.name_any())));
    let table = columns(&all, server.now(), args.many.output.is_wide());
    Ok(shown(&all, table, &args.many, palette))
}

/// Which object, or which objects.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// Name of one of them.
    #[arg(conflicts_with_all = ["all_namespaces", "selector"])]
    pub name: Option<String>,
    /// Which ones.
    #[command(flatten)]
    pub many: Many,
}

/// Shows one, or all of them in the order of their names.
pub(super) async fn get<K>(
    args: &Get,
    (columns, palette): (Columns<K>, Palette),
) -> Result<Answer, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let server = Server::at(&args.many.place).await?;
    let all: Vec<K> = match &args.name {
        Some(name) => vec![server.get(name).await?],
        None => by_name(&server, &args.many).await?,
    };
    let one = all.first().filter(|_| args.name.is_some());
    if let Some(document) = one.and_then(|one| args.many.output.document(one)) {
        return Ok(Answer::well(document));
    }
    let table = columns(&all, server.now(), args.many.output.is_wide());
    Ok(shown(&all, table, &args.many, palette))
}

/// Reads them.
///
/// # Errors
/// One clear sentence.
pub(super) async fn read<K>(server: &Server, many: &Many) -> Result<Vec<K>, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    if many.all_namespaces {
        return server.list_everywhere(&many.selector).await;
    }
    server.list(&many.selector).await
}

/// Reads them in the order of their names.
///
/// # Errors
/// One clear sentence.
pub(super) async fn by_name<K>(server: &Server, many: &Many) -> Result<Vec<K>, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let mut all: Vec<K> = read(server, many).await?;
    all.sort_by_key(|one| (one.namespace(), one.name_any()));
    Ok(all)
}

/// Shows them: their namespaces too, where there are several.
pub(super) fn shown<K>(all: &[K], mut table: Table, many: &Many, palette: Palette) -> Answer
where
    K: Resource<DynamicType = ()> + Serialize,
{
    if let Some(document) = many.output.document(&all) {
        return Answer::well(document);
    }
    if many.all_namespaces {
        let names = all.iter().map(|one| one.namespace().unwrap_or_default());
        let heading = Cell::heading("NAMESPACE");
        table.in_front(std::iter::once(heading).chain(names.map(Cell::from)));
    }
    Answer::well(table.text(palette))
}
