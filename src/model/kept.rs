//! Something of ours among what others have left with a server: it is looked for before it is made, so that there is one of it,
//! and one only. No I/O.
//!
//! What was looked for is worth nothing after a crash: then it is looked for again. So all of it is one exchange, and no plan
//! ever remembers that nothing was there.

use serde::Serialize;
use serde_json::Value;

use super::action::{Reply, Request};

/// Pages of a list that are looked through.
pub const PAGES: u32 = 20;
/// Stands in the URL of a change for the id of what is changed.
pub const ID: &str = "~id~";

/// A text of ours in a list, such as a comment, that is made where it is not there and changed where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// Asks whose token it is.
    pub who: Request,
    /// Where the answer to that has the login, as a JSON pointer.
    pub own_login: &'static str,
    /// Asks for a page of the list; its URL ends where the number of the page stands.
    pub list: Request,
    /// Entries of a page that is not the last; nothing where all come at once.
    pub page_size: Option<usize>,
    /// Where an entry has the login of its author, as a JSON pointer.
    pub login: &'static str,
    /// What the text of ours begins with.
    pub marker: String,
    /// Makes it; nothing where only one that is there is to be changed.
    pub make: Option<Request>,
    /// Changes it; [`ID`] stands in its URL.
    pub change: Request,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// That of this login.
    Known(String),
    /// The server does not tell those who come with this token; then the marker alone says what is ours.
    Untold,
    /// The server has not answered the question.
    Unanswered,
}

/// What a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is there, under this id.
    Found(u64),
    /// It may be on the next page.
    More,
    /// It is not there.
    Absent,
}

impl Kept {
    /// Asks for a page, from 1.
    pub fn page(&self, number: u32) -> Request {
        Request {
            url: format!("{}{number}", self.list.url),
            ..self.list.clone()
        }
    }

    /// Changes what has this id.
    pub fn change_of(&self, id: u64) -> Request {
        Request {
            url: self.change.url.replace(ID, &id.to_string()),
            ..self.change.clone()
        }
    }

    /// Reads whose token it is. Tokens of applications belong to nobody.
    pub fn owner(&self, reply: &Reply) -> Owner {
        match reply.status {
            200..=299 => {
                let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                let login = json.pointer(self.own_login).and_then(Value::as_str);
                login.map_or(Owner::Untold, |login| Owner::Known(login.to_owned()))
            }
            401 | 403 | 404 => Owner::Untold,
            _ => Owner::Unanswered,
        }
    }

    /// Looks through a page.
    ///
    /// # Errors
    /// If it is no page of a list. That is never taken for a page without entries.
    pub fn look(&self, reply: &Reply, owner: &Owner) -> Result<Look, String> {
        let entries: Vec<Value> = serde_json::from_slice(&reply.body).map_err(|_| {
            "the answer is not the provider's; check source.git.provider".to_owned()
        })?;
        let is_ours = |entry: &&Value| {
            let text = entry.get("body").and_then(Value::as_str);
            let author = entry.pointer(self.login).and_then(Value::as_str);
            let is_own = match owner {
                Owner::Known(own) => author == Some(own),
                Owner::Untold | Owner::Unanswered => true,
            };
            is_own && text.is_some_and(|text| text.starts_with(&self.marker))
        };
        let mut ours = entries.iter().filter(is_ours);
        if let Some(id) = ours.find_map(|entry| entry.get("id")?.as_u64()) {
            return Ok(Look::Found(id));
        }
        let is_full = self.page_size.is_some_and(|size| entries.len() >= size);
        Ok(if is_full { Look::More } else { Look::Absent })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn kept() -> Kept {
        let get = |url: &str| Request::get(url.to_owned(), Duration::from_secs(1));
        Kept {
            who: get("http://a/user"),
            own_login: "/login",
            list: get("http://a/comments?page="),
            page_size: Some(3),
            login: "/user/login",
            marker: "<!-- ours -->".into(),
            make: None,
            change: get("http://a/comments/~id~"),
        }
    }

    fn reply(status: u16, body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        Reply { status, body }
    }

    fn comment(id: u64, author: &str, body: &str) -> Value {
        json!({"id": id, "body": body, "user": {"login": author}})
    }

    #[test]
    fn only_what_our_own_user_wrote_and_begins_with_the_marker_is_ours() {
        let page = reply(
            200,
            &json!([
                comment(1, "alice", "<!-- ours --> or so I say"),
                comment(2, "robot", "> <!-- ours -->"),
                comment(3, "robot", "<!-- ours -->\nAll good"),
            ]),
        );
        let known = kept().owner(&reply(200, &json!({"login": "robot"})));
        assert_eq!(kept().look(&page, &known), Ok(Look::Found(3)));
        let untold = kept().owner(&reply(403, &json!({"message": "not for applications"})));
        assert_eq!(untold, Owner::Untold);
        assert_eq!(kept().look(&page, &untold), Ok(Look::Found(1)));
        assert_eq!(
            kept().owner(&reply(503, &json!(null))),
            Owner::Unanswered,
            "who does not answer now may answer later"
        );
    }

    #[test]
    fn a_full_page_has_another_one_and_no_answer_is_no_empty_page() {
        let known = Owner::Known("robot".into());
        let of = |count: u64| {
            let all: Vec<Value> = (0..count).map(|id| comment(id, "alice", "x")).collect();
            kept().look(&reply(200, &json!(all)), &known)
        };
        assert_eq!(of(3), Ok(Look::More));
        assert_eq!(of(2), Ok(Look::Absent));
        assert!(kept().look(&reply(200, &json!({})), &known).is_err());
        assert_eq!(kept().page(2).url, "http://a/comments?page=2");
        assert_eq!(kept().change_of(41).url, "http://a/comments/41");
    }
}
