//! Changes of a repository that is a few maps, and of its pull requests.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::ZlibDecoder;
use serde_json::json;

use super::*;
use crate::git::object::id_of;
use crate::git::object::tests::{answer, line};
use crate::model::change::{Edit, Person, PullPlaces, ValueEdit};

const URL: &str = "http://git/shop.git";
const OWN: &str = "slipway/shop/production";

/// A repository with pull requests. What somebody else does comes before the push that it says.
#[derive(Default)]
struct State {
    refs: BTreeMap<String, String>,
    objects: HashMap<String, (ObjectType, Vec<u8>)>,
    pushes: usize,
    /// What others do before each of the next pushes.
    others: Vec<&'static str>,
    /// Pushes that arrive, and whose answers do not.
    lost: usize,
    pulls: Vec<Value>,
    is_protected: bool,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

impl State {
    fn add(&mut self, type_: ObjectType, content: Vec<u8>) -> String {
        let id = id_of(type_, &content);
        self.objects.insert(id.clone(), (type_, content));
        id
    }

    /// A commit of a branch, by somebody, with files in a folder and beside it.
    fn commit(&mut self, branch: &str, file: &str, other: &str) -> String {
        let file = self.add(ObjectType::Blob, file.into());
        let other = self.add(ObjectType::Blob, other.into());
        let folder = self.add(ObjectType::Tree, line("100644", "values.yaml", &file));
        let tree = [line("40000", "shop", &folder), line("100644", "z", &other)].concat();
        let tree = self.add(ObjectType::Tree, tree);
        let text = format!("tree {tree}\nauthor a\n\nby hand\n");
        let commit = self.add(ObjectType::Commit, text.into());
        let name = format!("refs/heads/{branch}");
        self.refs.insert(name, commit.clone());
        commit
    }

    /// A file of a branch.
    fn file(&self, branch: &str, path: &[&str]) -> String {
        let commit = &self.objects[&self.refs[&format!("refs/heads/{branch}")]].1;
        let mut id = object::tree_of(commit).unwrap();
        for name in path {
            id = object::entry_of(&self.objects[&id].1, name).unwrap().1;
        }
        String::from_utf8(self.objects[&id].1.clone()).unwrap()
    }

    fn values(&self, branch: &str) -> String {
        self.file(branch, &["shop", "values.yaml"])
    }

    fn message(&self, branch: &str) -> String {
        let commit = &self.refs[&format!("refs/heads/{branch}")];
        String::from_utf8(self.objects[commit].1.clone()).unwrap()
    }

    fn listed(&self) -> Vec<u8> {
        let mut body = b"001f# service=git-receive-pack\n0000".to_vec();
        for (name, sha) in &self.refs {
            body.extend(format!("{:04x}{sha} {name}\n", name.len() + 46).into_bytes());
        }
        body.extend(b"0000");
        body
    }

    /// Takes a push in; the report.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pushes += 1;
        if !self.others.is_empty() {
            let other = self.others.remove(0);
            let values = self.values("main");
            self.commit("main", &values, other);
        }
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..4]).unwrap(), 16).unwrap();
        let command = String::from_utf8(bytes[4..length].to_vec()).unwrap();
        let mut words = command.split(['\0', ' ']);
        let mut next = || words.next().unwrap().to_owned();
        let (old, new, name) = (next(), next(), next());
        let at = self.refs.get(&name).cloned();
        let said = if self.is_protected {
            format!("ng {name} pre-receive hook declined\n")
        } else if at.unwrap_or("0".repeat(40)) == old {
            self.unpack(&bytes[length + 4..]);
            assert!(self.objects.contains_key(&new));
            self.refs.insert(name.clone(), new);
            format!("ok {name}\n")
        } else {
            format!("ng {name} failed to update ref\n")
        };
        let said = format!("{:04x}{said}", said.len() + 4);
        format!("000eunpack ok\n{said}0000").into_bytes()
    }

    fn unpack(&mut self, pack: &[u8]) {
        let count = u32::from_be_bytes(pack[8..12].try_into().unwrap());
        let mut rest = &pack[12..];
        for _ in 0..count {
            let kind = (rest[0] >> 4) & 7;
            let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
            rest = &rest[end + 1..];
            let mut decoder = ZlibDecoder::new(rest);
            let mut content = Vec::new();
            decoder.read_to_end(&mut content).unwrap();
            let read = usize::try_from(decoder.total_in()).unwrap();
            rest = &rest[read..];
            let type_ = match kind {
                1 => ObjectType::Commit,
                2 => ObjectType::Tree,
                _ => ObjectType::Blob,
            };
            self.add(type_, content);
        }
        assert_eq!(rest.len(), 20, "nothing but the sum is left");
    }

    fn provider(&mut self, request: &Request) -> Value {
        let body: Value = request
            .body
            .as_ref()
            .map_or(Value::Null, |body| serde_json::from_str(body).unwrap());
        match request.method {
            "GET" => {
                let open = self.pulls.iter().filter(|pull| pull["state"] == "open");
                json!(open.collect::<Vec<_>>())
            }
            "POST" => {
                let number = self.pulls.len() + 1;
                self.pulls.push(json!({
                    "number": number, "html_url": format!("http://git/pulls/{number}"), "state": "open",
                    "title": body["title"], "body": body["body"],
                    "head": {"ref": body["head"], "repo": "shop"}, "base": {"ref": body["base"], "repo": "shop"},
                }));
                self.pulls[number - 1].clone()
            }
            _ => {
                let number: usize = request.url.rsplit('/').next().unwrap().parse().unwrap();
                json_patch::merge(&mut self.pulls[number - 1], &body);
                self.pulls[number - 1].clone()
            }
        }
    }
}

impl Server {
    fn new() -> Self {
        let server = Self::default();
        server.state(|state| drop(state.commit("main", "digest: a # now\n", "1")));
        server
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }

    fn reply(&self, request: &Request) -> Result<Reply, String> {
        self.state(|state| {
            let body = if request.url.contains("/info/refs") {
                state.listed()
            } else if request.url.ends_with("/git-upload-pack") {
                let body = request.body.as_deref().unwrap();
                let at = body.find("want ").unwrap() + 5;
                let (type_, content) = &state.objects[&body[at..at + 40]];
                answer(*type_, content, 1000)
            } else if request.url.ends_with("/git-receive-pack") {
                let report = state.take(request.bytes.as_ref().unwrap());
                if state.lost > 0 {
                    state.lost -= 1;
                    return Err("connection reset".into());
                }
                report
            } else {
                state.provider(request).to_string().into_bytes()
            };
            Ok(Reply { status: 200, body })
        })
    }

    async fn change(&self, change: &Change) -> Answer {
        let server = self.clone();
        let ask = move |request: Request| {
            let server = server.clone();
            async move { server.reply(&request) }
        };
        exchange(change, &ask).await
    }
}

fn says(path: &str, value: &str) -> FileEdit {
    FileEdit {
        path: path.into(),
        edit: Edit::Values(vec![ValueEdit {
            key: "digest".into(),
            value: value.into(),
        }]),
    }
}

fn digest(value: &str) -> Change {
    Change {
        repository: Request::get(URL.into(), Duration::from_secs(1)),
        branch: "main".into(),
        files: vec![says("shop/values.yaml", value)],
        author: Person {
            name: "Slipway".into(),
            email: "slipway@localhost".into(),
        },
        at: 1_800_000_000,
        message: format!("production runs {value}\n\nSlipway-Environment: shop/production\n"),
        marker: "Slipway-Environment: shop/production".into(),
        known: None,
        pull: None,
    }
}

fn proposed(value: &str) -> Change {
    let get = |url: &str| Request::get(url.to_owned(), Duration::from_secs(1));
    let title = format!("production runs {value}");
    let sent = |method: &'static str, url: &str, body: &Value| {
        let kind = "application/json";
        let mut request = Request::post(url.into(), kind, body.to_string(), Duration::from_secs(1));
        request.method = method;
        request
    };
    let all = json!({"title": title, "body": "so", "head": OWN, "base": "main"});
    let text = json!({"title": title, "body": "so"});
    let pull = Pull {
        branch: OWN.into(),
        list: get("http://git/api/pulls?page="),
        page_size: 30,
        make: Some(sent("POST", "http://git/api/pulls", &all)),
        change: sent("PATCH", "http://git/api/pulls/~id~", &text),
        close: sent(
            "PATCH",
            "http://git/api/pulls/~id~",
            &json!({"state": "closed"}),
        ),
        title,
        body: "so".into(),
        places: PullPlaces {
            number: "/number",
            url: "/html_url",
            head: "/head/ref",
            from: "/head/repo",
            base: "/base/ref",
            into: "/base/repo",
            title: "/title",
            body: "/body",
        },
    };
    Change {
        pull: Some(pull),
        ..digest(value)
    }
}

fn written(answer: &Answer) -> (String, bool) {
    match answer {
        Answer::Written { commit, is_new } => (commit.clone(), *is_new),
        other => panic!("{other:?}"),
    }
}

fn pull(answer: &Answer) -> u64 {
    match answer {
        Answer::Proposed { pull, .. } => pull.number,
        other => panic!("{other:?}"),
    }
}

fn reason(answer: Answer) -> String {
    match answer {
        Answer::Refused(trouble) => trouble.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_commit_is_pushed_and_the_second_time_none() {
    let server = Server::new();
    let before = server.state(|state| state.refs["refs/heads/main"].clone());
    let (commit, is_new) = written(&server.change(&digest("b")).await);
    assert!(is_new);
    server.state(|state| {
        assert_eq!(state.values("main"), "digest: b # now\n");
        assert_eq!(state.file("main", &["z"]), "1", "beside it nothing changed");
        assert_eq!(state.refs["refs/heads/main"], commit);
        let message = state.message("main");
        assert!(
            message.contains(&format!("\nparent {before}\n")),
            "{message}"
        );
        assert!(
            message.ends_with("\n\nproduction runs b\n\nSlipway-Environment: shop/production\n")
        );
    });
    let again = written(&server.change(&digest("b")).await);
    assert_eq!(again, (commit, false));
    assert_eq!(server.state(|state| state.pushes), 1);
}

#[tokio::test]
async fn what_others_push_meanwhile_stays_and_what_got_lost_is_found() {
    let server = Server::new();
    server.state(|state| state.others = vec!["2", "3"]);
    let (_, is_new) = written(&server.change(&digest("b")).await);
    assert!(is_new);
    server.state(|state| {
        assert_eq!(state.values("main"), "digest: b # now\n");
        assert_eq!((state.file("main", &["z"]), state.pushes), ("3".into(), 3));
        state.lost = 1;
    });
    let (commit, is_new) = written(&server.change(&digest("c")).await);
    assert!(is_new, "it is ours, whatever became of the answer");
    server.state(|state| {
        assert_eq!((&state.refs["refs/heads/main"], state.pushes), (&commit, 4));
        state.others = vec!["4", "5", "6", "7"];
        assert_eq!(state.others.len(), TRIES);
    });
    assert_eq!(reason(server.change(&digest("d")).await), "Conflict");
    server.state(|state| state.is_protected = true);
    let refused = server.change(&digest("d")).await;
    let Answer::Refused(trouble) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        trouble,
        Trouble::new("Refused", "pre-receive hook declined")
    );
}

#[tokio::test]
async fn a_file_or_a_branch_that_is_not_there_is_named() {
    let server = Server::new();
    let lost = Change {
        files: vec![says("shop/other.yaml", "b")],
        ..digest("b")
    };
    assert_eq!(reason(server.change(&lost).await), "NotFound");
    let lost = Change {
        branch: "release".into(),
        ..digest("b")
    };
    assert_eq!(reason(server.change(&lost).await), "NotFound");
    server.state(|state| drop(state.commit("main", "digest: {a: 1}\n", "1")));
    assert_eq!(reason(server.change(&digest("b")).await), "NotEditable");
    assert_eq!(server.state(|state| state.pushes), 0);
}

#[tokio::test]
async fn several_files_say_it_with_one_commit_or_none_does() {
    let server = Server::new();
    server.state(|state| drop(state.commit("main", "digest: a # now\n", "digest: a\n")));
    let both = Change {
        files: vec![says("shop/values.yaml", "b"), says("z", "b")],
        ..digest("b")
    };
    let (_, is_new) = written(&server.change(&both).await);
    assert!(is_new);
    let now = server.state(|state| {
        (
            state.values("main"),
            state.file("main", &["z"]),
            state.pushes,
        )
    });
    assert_eq!(now, ("digest: b # now\n".into(), "digest: b\n".into(), 1));
    assert!(!written(&server.change(&both).await).1, "once");
    let one_is_lost = Change {
        files: vec![says("shop/values.yaml", "c"), says("shop/other.yaml", "c")],
        ..digest("c")
    };
    assert_eq!(reason(server.change(&one_is_lost).await), "NotFound");
    server.state(|state| {
        assert_eq!(
            (state.values("main").as_str(), state.pushes),
            ("digest: b # now\n", 1)
        );
    });
}

#[tokio::test]
async fn what_is_said_twice_and_comes_out_as_it_was_is_no_commit() {
    let server = Server::new();
    let twice = Change {
        files: vec![says("shop/values.yaml", "b"), says("shop/values.yaml", "a")],
        ..digest("a")
    };
    assert!(!written(&server.change(&twice).await).1);
    assert_eq!(server.state(|state| state.pushes), 0);
}

#[tokio::test]
async fn a_commit_from_before_the_cluster_had_a_name_is_taken_over() {
    let server = Server::new();
    let Answer::Proposed { commit, .. } = server.change(&proposed("b")).await else {
        panic!("no pull request");
    };
    let mut named = proposed("c");
    named.marker = "Slipway-Environment: prod-eu/shop/production".into();
    let theirs = server.change(&named).await;
    assert_eq!(
        reason(theirs),
        "Conflict",
        "another cluster's, as far as is known"
    );
    named.known = Some(commit);
    assert_eq!(pull(&server.change(&named).await), 1);
    server.state(|state| assert_eq!(state.values(OWN), "digest: c # now\n"));
}

#[tokio::test]
async fn a_pull_request_into_its_own_branch_is_refused() {
    let server = Server::new();
    let mut change = proposed("b");
    if let Some(pull) = &mut change.pull {
        pull.branch = change.branch.clone();
    }
    assert_eq!(reason(server.change(&change).await), "Refused");
    assert_eq!(server.state(|state| state.pushes), 0);
}

#[tokio::test]
async fn one_pull_request_asks_for_what_runs_and_follows_it() {
    let server = Server::new();
    assert_eq!(pull(&server.change(&proposed("b")).await), 1);
    assert_eq!(pull(&server.change(&proposed("b")).await), 1);
    server.state(|state| {
        assert_eq!(
            state.values("main"),
            "digest: a # now\n",
            "nobody has merged it"
        );
        assert_eq!(
            (state.values(OWN).as_str(), state.pushes),
            ("digest: b # now\n", 1)
        );
    });
    assert_eq!(pull(&server.change(&proposed("c")).await), 1);
    server.state(|state| {
        assert_eq!(
            (state.values(OWN).as_str(), state.pushes),
            ("digest: c # now\n", 2)
        );
        assert_eq!(state.pulls[0]["title"], "production runs c");
        // Somebody changes the same file: the branch is made anew, on top of that.
        state.commit("main", "digest: a # then\n", "5");
    });
    assert_eq!(pull(&server.change(&proposed("c")).await), 1);
    server.state(|state| {
        assert_eq!(state.values(OWN), "digest: c # then\n");
        // It is merged.
        let merged = state.refs[&format!("refs/heads/{OWN}")].clone();
        state.refs.insert("refs/heads/main".into(), merged);
        state.pulls[0]["state"] = json!("closed");
    });
    let (_, is_new) = written(&server.change(&proposed("c")).await);
    assert!(!is_new);
    assert_eq!(pull(&server.change(&proposed("d")).await), 2);
    // Back to what the branch says: nobody is to merge the other any more.
    written(&server.change(&proposed("c")).await);
    server.state(|state| assert_eq!(state.pulls[1]["state"], "closed"));
}

#[tokio::test]
async fn a_pull_request_that_people_have_closed_or_added_to_is_theirs() {
    let server = Server::new();
    pull(&server.change(&proposed("b")).await);
    server.state(|state| state.pulls[0]["state"] = json!("closed"));
    let mut looked = proposed("b");
    looked.pull.as_mut().unwrap().make = None;
    assert_eq!(server.change(&looked).await, Answer::Declined);
    // Something new is a new question.
    assert_eq!(pull(&server.change(&proposed("c")).await), 2);
    server.state(|state| drop(state.commit(OWN, "digest: x\n", "1")));
    assert_eq!(reason(server.change(&proposed("c")).await), "Conflict");
    server.state(|state| assert_eq!(state.values(OWN), "digest: x\n"));
}

#[tokio::test]
async fn two_at_the_same_time_make_one_commit() {
    let (server, turns) = (Server::new(), Turns::default());
    let change = || {
        let server = server.clone();
        to_its_end(&turns, digest("b"), move |request| {
            let server = server.clone();
            async move {
                tokio::task::yield_now().await;
                server.reply(&request)
            }
        })
    };
    let (one, two) = tokio::join!(change(), change());
    for reply in [one, two] {
        let answer: Answer = serde_json::from_slice(&reply.unwrap().body).unwrap();
        written(&answer);
    }
    assert_eq!(server.state(|state| state.pushes), 1);
}
