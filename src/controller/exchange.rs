//! Requests under way. They outlive the reconcile that sent them, so that a server that hangs holds up neither its worker
//! nor a change of its object: the reconcile waits for a moment, goes, and is called again by the answer. A plan that asks
//! the same again is given the answer. What no plan asks for any more is dropped, unless it tells somebody something: that goes
//! on while a plan has other things to do, for cut off it may have arrived or not. No I/O of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::queue::Queue;
use crate::model::access::Purpose;
use crate::model::action::{Errand, Reply, Request};
use crate::model::key::Key;

/// How long a reconcile waits for answers. Most come sooner, and then there is no second reconcile for them.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits even if there is news of its object: a server that is well answers within this.
const SHORTEST: Duration = Duration::from_millis(50);

/// An answer; the error is a sentence for people.
type Answer = Result<Reply, String>;

/// The requests under way of one kind, by object and by the key of their action.
#[derive(Default)]
pub(super) struct Exchanges {
    under_way: Mutex<HashMap<Key, BTreeMap<String, Exchange>>>,
}

/// One of them.
struct Exchange {
    request: Request,
    answer: watch::Receiver<Option<Answer>>,
    is_left: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Exchange {
    /// Whether the answer is there, or is to come.
    fn is_good(&self) -> bool {
        self.answer.has_changed().is_ok() || self.answer.borrow().is_some()
    }

    /// Whether it tells somebody something, and that has not been answered yet.
    fn is_telling(&self) -> bool {
        let is_open = self.answer.has_changed().is_ok() && self.answer.borrow().is_none();
        is_open && tells(&self.request)
    }
}

/// Whether a request tells somebody something. Questions about metrics are no news to anybody, whatever their method.
fn tells(request: &Request) -> bool {
    let mut access = request.access.iter();
    let is_measured = access.any(|access| access.purpose == Purpose::Metrics);
    match request.errand.as_deref() {
        Some(Errand::Kept(_) | Errand::Change(_) | Errand::Mail(_)) => true,
        Some(Errand::Tagged(question)) => question.to.is_some(),
        Some(
            Errand::Signed(_)
            | Errand::Package(_)
            | Errand::Leftovers(_)
            | Errand::Probe(_)
            | Errand::Changed(_)
            | Errand::Rehearsal(_),
        ) => false,
        None => request.method != "GET" && !is_measured,
    }
}

impl Exchanges {
    /// Sends those of the requests that are not under way yet, and waits for a moment. What is answered by then comes back.
    pub(super) async fn ask<F>(
        &self,
        queue: &Arc<Queue>,
        key: &Key,
        requests: &[(&String, &Request)],
        send: impl Fn(Request) -> F,
    ) -> Vec<(String, Answer)>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let answers: Vec<_> = requests
            .iter()
            .map(|question| self.begun(queue, key, question, &send))
            .collect();
        let all = futures::future::join_all(answers.into_iter().map(|mut answer| async move {
            // An error means that the task ended without an answer: then it is sent again.
            let _ = answer.wait_for(Option::is_some).await;
        }));
        let mut all = std::pin::pin!(all);
        let is_quick = tokio::time::timeout(SHORTEST, &mut all).await.is_ok();
        if !is_quick {
            let news = std::pin::pin!(queue.news(key));
            let first = futures::future::select(all, news);
            let _ = tokio::time::timeout(PATIENCE.saturating_sub(SHORTEST), first).await;
        }
        let names = requests.iter().map(|(name, _)| *name);
        names
            .zip(requests.iter().map(|(_, request)| *request))
            .filter_map(|question| Some((question.0.clone(), self.taken(queue, key, question)?)))
            .collect()
    }

    /// Drops all requests of an object that is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.under_way().remove(key);
    }

    /// Drops the requests of an object that are not among these, but for what tells somebody something.
    pub(super) fn keep<'a>(&self, key: &Key, names: impl Iterator<Item = &'a String>) {
        let mut under_way = self.under_way();
        let Some(own) = under_way.get_mut(key) else {
            return;
        };
        let names: Vec<&String> = names.collect();
        own.retain(|name, exchange| names.contains(&name) || tells(&exchange.request));
        if own.is_empty() {
            under_way.remove(key);
        }
    }

    fn begun<F>(
        &self,
        queue: &Arc<Queue>,
        key: &Key,
        (name, request): &(&String, &Request),
        send: impl Fn(Request) -> F,
    ) -> watch::Receiver<Option<Answer>>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut under_way = self.under_way();
        let own = under_way.entry(key.clone()).or_default();
        if let Some(known) = own.get(*name)
            && (known.is_telling() || known.request == **request && known.is_good())
        {
            // If it tells something else, that is told first.
            return known.answer.clone();
        }
        let (answered, answer) = watch::channel(None);
        let is_left = Arc::new(AtomicBool::new(false));
        let (exchange, queue, object, left) = (
            send((*request).clone()),
            Arc::clone(queue),
            key.clone(),
            Arc::clone(&is_left),
        );
        let task = tokio::spawn(async move {
            answered.send_replace(Some(exchange.await));
            if left.load(Ordering::SeqCst) {
                queue.add(object);
            }
        });
        let exchange = Exchange {
            request: (*request).clone(),
            answer: answer.clone(),
            is_left,
            _task: AbortOnDropHandle::new(task),
        };
        own.insert((*name).clone(), exchange);
        answer
    }

    /// The answer, if it is there. If not, it calls for another look when it comes. That to another request is none, and lets
    /// this one be sent.
    fn taken(
        &self,
        queue: &Queue,
        key: &Key,
        (name, request): (&String, &Request),
    ) -> Option<Answer> {
        let mut under_way = self.under_way();
        let own = under_way.get_mut(key)?;
        let exchange = own.get(name)?;
        let mut answer = exchange.answer.borrow().clone();
        if answer.is_none() {
            exchange.is_left.store(true, Ordering::SeqCst);
            // It may have come in between, and found nobody to call.
            answer.clone_from(&exchange.answer.borrow());
            if answer.is_none() {
                if exchange.answer.has_changed().is_err() {
                    queue.add(key.clone());
                }
                return None;
            }
        }
        let is_own = exchange.request == *request;
        own.remove(name);
        if own.is_empty() {
            under_way.remove(key);
        }
        if !is_own {
            queue.add(key.clone());
        }
        answer.filter(|_| is_own)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, BTreeMap<String, Exchange>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::time::Instant;

    use super::*;

    /// A server that takes its time, and counts.
    #[derive(Clone, Default)]
    struct Server(Arc<AtomicUsize>);

    impl Server {
        fn after(
            &self,
            time: Duration,
        ) -> impl Fn(Request) -> futures::future::BoxFuture<'static, Answer> {
            let count = Arc::clone(&self.0);
            move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    let never = std::future::pending::<()>();
                    let _ = tokio::time::timeout(time, never).await;
                    Err("answered".to_owned())
                })
            }
        }

        fn asked(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn request(url: &str) -> Request {
        Request::get(url.to_owned(), Duration::from_secs(5))
    }

    fn key() -> Key {
        Key::new("shop", "api")
    }

    /// A queue in which the object is being worked on.
    async fn working() -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        queue.add(key());
        queue.next().await;
        queue
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_is_waited_for() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, request) = ("a".to_owned(), request("http://a"));
        let send = server.after(Duration::from_millis(20));
        let answers = exchanges
            .ask(&queue, &key(), &[(&name, &request)], &send)
            .await;
        assert_eq!(answers, [(name, Err("answered".to_owned()))]);
        assert!(exchanges.under_way().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_calls_for_another_look_and_is_not_asked_for_twice() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, request) = ("a".to_owned(), request("http://a"));
        let send = server.after(Duration::from_secs(4));
        let start = Instant::now();
        let answers = exchanges
            .ask(&queue, &key(), &[(&name, &request)], &send)
            .await;
        assert_eq!((answers.len(), start.elapsed()), (0, PATIENCE));
        queue.done(&key());
        assert_eq!(queue.next().await, key());
        assert_eq!(start.elapsed(), Duration::from_secs(4));
        let answers = exchanges
            .ask(&queue, &key(), &[(&name, &request)], &send)
            .await;
        assert_eq!((answers.len(), server.asked()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn news_of_the_object_is_not_held_up() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, request) = ("a".to_owned(), request("http://a"));
        let send = server.after(Duration::from_secs(4));
        let start = Instant::now();
        let later = Arc::clone(&queue);
        tokio::spawn(async move {
            let never = std::future::pending::<()>();
            let _ = tokio::time::timeout(Duration::from_millis(200), never).await;
            later.add(key());
        });
        exchanges
            .ask(&queue, &key(), &[(&name, &request)], &send)
            .await;
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_does_not_hold_up_the_others() {
        let (quick, slow) = (Server::default(), Server::default());
        let (exchanges, queue) = (Exchanges::default(), working().await);
        let names = ["a".to_owned(), "b".to_owned()];
        let requests = [request("http://quick"), request("http://slow")];
        let (soon, late) = (
            quick.after(Duration::ZERO),
            slow.after(Duration::from_mins(1)),
        );
        let send = |request: Request| {
            if request.url == "http://quick" {
                soon(request)
            } else {
                late(request)
            }
        };
        let both = [(&names[0], &requests[0]), (&names[1], &requests[1])];
        let answers = exchanges.ask(&queue, &key(), &both, send).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn another_question_is_asked_afresh_and_one_that_is_dropped_is_given_up() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let name = "a".to_owned();
        let send = server.after(Duration::from_secs(4));
        for url in ["http://a", "http://b"] {
            let answers = exchanges
                .ask(&queue, &key(), &[(&name, &request(url))], &send)
                .await;
            assert_eq!(answers, []);
        }
        assert_eq!(server.asked(), 2);
        exchanges.keep(&key(), [].iter());
        assert!(exchanges.under_way().is_empty());
    }

    fn message(text: &str) -> Request {
        let (url, text) = ("http://a".to_owned(), text.to_owned());
        Request::post(url, "text/plain", text, Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn what_tells_somebody_goes_on_while_a_plan_does_other_things() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, request) = ("a".to_owned(), message("it failed"));
        let send = server.after(Duration::from_secs(4));
        let question = [(&name, &request)];
        assert_eq!(exchanges.ask(&queue, &key(), &question, &send).await, []);
        exchanges.keep(&key(), [].iter());
        queue.done(&key());
        assert_eq!(queue.next().await, key(), "its answer calls");
        exchanges.keep(&key(), [].iter());
        let answers = exchanges.ask(&queue, &key(), &question, &send).await;
        assert_eq!((answers.len(), server.asked()), (1, 1));
        exchanges.ask(&queue, &key(), &question, &send).await;
        exchanges.forget(&key());
        assert!(exchanges.under_way().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn another_text_waits_for_the_one_that_is_being_told() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, first, second) = ("a".to_owned(), message("begun"), message("over"));
        let send = server.after(Duration::from_millis(1500));
        let begun = [(&name, &first)];
        assert_eq!(exchanges.ask(&queue, &key(), &begun, &send).await, []);
        let over = [(&name, &second)];
        let answers = exchanges.ask(&queue, &key(), &over, &send).await;
        assert_eq!((answers.len(), server.asked()), (0, 1), "of the first");
        queue.done(&key());
        assert_eq!(queue.next().await, key());
        let answers = exchanges.ask(&queue, &key(), &over, &send).await;
        assert_eq!((answers.len(), server.asked()), (0, 2));
        queue.done(&key());
        assert_eq!(queue.next().await, key());
        let answers = exchanges.ask(&queue, &key(), &over, &send).await;
        assert_eq!((answers.len(), server.asked()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_measurement_that_is_not_asked_for_any_more_is_dropped() {
        let (server, exchanges, queue) = (Server::default(), Exchanges::default(), working().await);
        let (name, mut request) = ("a".to_owned(), message("query"));
        request.access = Some(Box::default());
        let send = server.after(Duration::from_secs(4));
        let question = [(&name, &request)];
        assert_eq!(exchanges.ask(&queue, &key(), &question, &send).await, []);
        exchanges.keep(&key(), [].iter());
        assert!(exchanges.under_way().is_empty());
    }
}
