//! Keeps one text of ours with a server: looks for it, and makes or changes it. Talks to the network.
//!
//! Two that look at the same time would both find nothing. So they take turns, and one that has begun goes on to its end even if
//! nobody waits for it any more: what it has sent may arrive, and the next one has to find it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::cluster::Cluster;
use crate::model::action::{Reply, Request};
use crate::model::kept::{Kept, Look, Owner, PAGES};

/// Whose turn it is, by the list that is looked through, or the repository that is changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Weak<Turn>>>>);

pub(super) type Turn = tokio::sync::Mutex<()>;

impl Turns {
    pub(super) fn of(&self, list: &str) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(list).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(list.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl Cluster {
    pub(super) async fn keep(&self, kept: &Kept) -> Result<Reply, String> {
        let cluster = self.clone();
        to_its_end(&self.http.turns, kept.clone(), move |request| {
            let cluster = cluster.clone();
            async move { cluster.fetch_one(&request).await }
        })
        .await
    }
}

/// All of it, one after the other for each list, whatever becomes of who asks.
async fn to_its_end<F>(
    turns: &Turns,
    kept: Kept,
    ask: impl Fn(Request) -> F + Send + Sync + 'static,
) -> Result<Reply, String>
where
    F: Future<Output = Result<Reply, String>> + Send,
{
    let turn = turns.of(&kept.list.url);
    let work = tokio::spawn(async move {
        let _turn = turn.lock().await;
        exchange(&kept, ask).await
    });
    let broken = |_| Err("the exchange broke off".to_owned());
    work.await.unwrap_or_else(broken)
}

async fn exchange<F>(kept: &Kept, ask: impl Fn(Request) -> F) -> Result<Reply, String>
where
    F: Future<Output = Result<Reply, String>>,
{
    let who = ask(kept.who.clone()).await?;
    let owner = kept.owner(&who);
    if owner == Owner::Unanswered {
        return Ok(who);
    }
    for number in 1..=PAGES {
        let page = ask(kept.page(number)).await?;
        if !(200..300).contains(&page.status) {
            return Ok(page);
        }
        match kept.look(&page, &owner)? {
            Look::Found(id) => return ask(kept.change_of(id)).await,
            Look::More => {}
            Look::Absent => {
                return match &kept.make {
                    Some(make) => ask(make.clone()).await,
                    None => Ok(Reply {
                        status: 200,
                        body: Vec::new(),
                    }),
                };
            }
        }
    }
    Err(format!(
        "there is no comment of ours on the first {PAGES} pages, and no further ones are looked through"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::sync::Semaphore;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server with comments, of which each is made only when it is let.
    #[derive(Clone)]
    struct Server {
        comments: Arc<Mutex<Vec<Value>>>,
        gate: Arc<Semaphore>,
        making: Arc<AtomicUsize>,
    }

    impl Server {
        fn new() -> Self {
            Self {
                comments: Arc::default(),
                gate: Arc::new(Semaphore::new(0)),
                making: Arc::default(),
            }
        }

        async fn answer(self, request: Request) -> Result<Reply, String> {
            let body = match (request.method, request.url.as_str()) {
                ("GET", "http://a/user") => json!({"login": "robot"}),
                ("GET", _) => json!(*self.comments.lock().unwrap()),
                ("POST", _) => {
                    self.making.fetch_add(1, Ordering::SeqCst);
                    self.gate.acquire().await.unwrap().forget();
                    self.add("robot", request.body.as_deref().unwrap());
                    json!({})
                }
                (_, url) => {
                    let id: usize = url.rsplit_once('/').unwrap().1.parse().unwrap();
                    self.comments.lock().unwrap()[id]["body"] = json!(request.body);
                    json!({})
                }
            };
            let body = body.to_string().into_bytes();
            Ok(Reply { status: 200, body })
        }

        fn add(&self, author: &str, body: &str) {
            let mut comments = self.comments.lock().unwrap();
            let id = comments.len();
            comments.push(json!({"id": id, "body": body, "user": {"login": author}}));
        }

        fn bodies(&self) -> Vec<String> {
            let comments = self.comments.lock().unwrap();
            let text = |comment: &Value| comment["body"].as_str().unwrap().to_owned();
            comments.iter().map(text).collect()
        }

        fn keep(
            &self,
            turns: &Turns,
            text: &str,
        ) -> impl Future<Output = Result<Reply, String>> + use<> {
            let (server, turns, kept) = (self.clone(), turns.clone(), kept(text));
            async move { to_its_end(&turns, kept, move |request| server.clone().answer(request)).await }
        }
    }

    fn kept(text: &str) -> Kept {
        let get = |url: &str| Request::get(url.to_owned(), SECOND);
        let body = format!("ours {text}");
        let mut change = Request::post("http://a/~id~".into(), "text/plain", body.clone(), SECOND);
        change.method = "PATCH";
        Kept {
            who: get("http://a/user"),
            own_login: "/login",
            list: get("http://a/?page="),
            page_size: None,
            login: "/user/login",
            marker: "ours".into(),
            make: Some(Request::post(
                "http://a/".into(),
                "text/plain",
                body,
                SECOND,
            )),
            change,
        }
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_is_found_by_the_next() {
        let (server, turns) = (Server::new(), Turns::default());
        server.add("alice", "ours, I say");
        let left = tokio::spawn(server.keep(&turns, "one"));
        while server.making.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        let next = tokio::spawn(server.keep(&turns, "two"));
        server.gate.add_permits(2);
        next.await.unwrap().unwrap();
        assert_eq!(server.bodies(), ["ours, I say", "ours two"]);
        assert_eq!(server.making.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn two_at_the_same_time_make_one() {
        let (server, turns) = (Server::new(), Turns::default());
        server.gate.add_permits(2);
        let both = tokio::join!(server.keep(&turns, "one"), server.keep(&turns, "two"));
        both.0.and(both.1).unwrap();
        assert_eq!(server.bodies().len(), 1);
        let mut quiet = kept("three");
        quiet.make = None;
        quiet.marker = "not there".into();
        let answer = exchange(&quiet, |request| server.clone().answer(request)).await;
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(server.bodies().len(), 1);
    }
}
