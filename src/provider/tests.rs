//! The exchanges are written from the providers' public descriptions of their APIs; those with Gitea are also played on a
//! real one, in `tests/it/gitea.rs`.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::testing::{SHA, answer, at, of, provider, sent};
use super::*;
use crate::model::action::Errand;
use crate::model::kept::{Kept, Look, Owner};

const ALL: &[ProviderType] = ProviderType::ALL;

fn status(state: CommitState) -> CommitStatus {
    CommitStatus {
        context: "slipway/api/unit".into(),
        state,
        description: "312 tests passed".into(),
        url: Some("https://runs.example/1".into()),
    }
}

fn release() -> ProviderRelease {
    ProviderRelease {
        tag: "v1.2.0".into(),
        name: "1.2.0".into(),
        notes: "## Features\n".into(),
        is_prerelease: false,
    }
}

fn kept(provider: &Provider, body: &str) -> Kept {
    let comment = KeptComment {
        marker: "All",
        body,
        is_made: true,
    };
    match *provider.keep_comment(7, &comment).errand.unwrap() {
        Errand::Kept(kept) => kept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_operation_is_sent_as_the_provider_describes_it() {
    let mut all = Vec::new();
    for type_ in ALL {
        let provider = at(*type_);
        let kept = kept(&provider, "All *good*");
        let requests = [
            provider.set_status(SHA, &status(CommitState::Pending)),
            provider.set_status(SHA, &status(CommitState::Failure)),
            kept.who.clone(),
            kept.page(2),
            kept.make.clone().unwrap(),
            kept.change_of(41),
            provider.create_release(&release(), SHA),
        ];
        all.push(format!("{type_}"));
        all.extend(requests.iter().map(sent));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_token_is_a_login_and_stands_in_no_text() {
    for type_ in ALL {
        let body = "~secret~git~token~ in a title";
        let request = kept(&at(*type_), body).make.unwrap();
        let access = request.access.unwrap();
        assert!(access.secrets.is_empty(), "a text could have it filled in");
        let token = SecretKey::new("git", "token");
        assert_eq!(access.login, Some(Login::Bearer { token }));
        assert_eq!(access.namespace, "shop");
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[test]
fn the_api_is_where_the_server_has_it_or_the_source_says() {
    let url = |git: &Value| kept(&of(git).unwrap(), "All").make.unwrap().url;
    let on = |url: &str, type_: ProviderType| json!({"url": url, "provider": provider(type_)});
    let with = |mut git: Value, api: &str| {
        json_patch::merge(&mut git, &json!({"provider": {"apiUrl": api}}));
        git
    };
    assert_eq!(
        url(&on("https://github.com/shop/api", ProviderType::GitHub)),
        "https://api.github.com/repos/shop/api/issues/7/comments"
    );
    assert_eq!(
        url(&on(
            "https://ghe.example/shop/api.git",
            ProviderType::GitHub
        )),
        "https://ghe.example/api/v3/repos/shop/api/issues/7/comments"
    );
    assert_eq!(
        url(&on(
            "http://localhost:3000/shop/api.git",
            ProviderType::Gitea
        )),
        "http://localhost:3000/api/v1/repos/shop/api/issues/7/comments"
    );
    let below = on("https://x.example/git/shop/api.git", ProviderType::Gitea);
    assert_eq!(
        url(&with(below, "https://x.example/git/api/v1/")),
        "https://x.example/git/api/v1/repos/shop/api/issues/7/comments"
    );
    let groups = on("https://x.example/gitlab/a/b/c.git", ProviderType::GitLab);
    assert_eq!(
        url(&with(groups, "https://x.example/gitlab/api/v4")),
        "https://x.example/gitlab/api/v4/projects/a%2Fb%2Fc/merge_requests/7/notes"
    );
    assert_eq!(
        of(&json!({"url": "https://git.example/shop/api.git"})),
        None
    );
}

#[test]
fn an_api_on_another_host_is_only_asked_where_requests_may_go() {
    let purpose = |url: &str, api: Option<&str>| {
        let git = json!({"url": url, "provider": {
            "type": "Gitea", "apiUrl": api, "tokenSecretRef": {"name": "git", "key": "token"},
        }});
        of(&git)
            .unwrap()
            .create_release(&release(), SHA)
            .access
            .unwrap()
            .purpose
    };
    let at_home = "https://git.example/shop/api.git";
    assert_eq!(purpose(at_home, None), Purpose::Repository);
    let beside = Some("https://GIT.example:3000/api/v1");
    assert_eq!(purpose(at_home, beside), Purpose::Repository);
    for api in [
        "https://169.254.169.254/api/v1",
        "https://api.git.example/v1",
    ] {
        assert_eq!(purpose(at_home, Some(api)), Purpose::Provider, "{api}");
    }
    assert_eq!(
        purpose(
            "https://[fd00::1]:8443/a/b.git",
            Some("https://[fd00::2]/api/v1")
        ),
        Purpose::Provider
    );
}

#[test]
fn a_long_description_is_cut() {
    let long = |length: usize| {
        let description = "ä".repeat(length);
        CommitStatus {
            description,
            ..status(CommitState::Success)
        }
        .short()
    };
    assert_eq!(long(140).chars().count(), 140);
    assert!(!long(140).ends_with('…'));
    assert_eq!(long(141).chars().count(), 140);
    assert!(long(141).ends_with('…'));
}

#[test]
fn gitlab_refuses_a_status_that_it_has_and_that_is_no_problem() {
    let there = answer(
        400,
        &json!({"message": "Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"}),
    );
    assert_eq!(at(ProviderType::GitLab).read_set_status(&there), Ok(()));
    assert!(at(ProviderType::GitHub).read_set_status(&there).is_err());
    let broken = answer(
        400,
        &json!({"message": "state does not have a valid value"}),
    );
    assert!(at(ProviderType::GitLab).read_set_status(&broken).is_err());
}

#[test]
fn statuses_are_read_as_each_provider_words_them() {
    let read = |type_, body: &Value| {
        let read = at(type_).read_statuses(&answer(200, body)).unwrap();
        read.into_iter()
            .map(|status| (status.context, status.state))
            .collect::<Vec<_>>()
    };
    let github = json!({"state": "failure", "sha": SHA, "total_count": 2, "statuses": [
        {"id": 1, "state": "success", "context": "build", "description": null, "target_url": null},
        {"id": 2, "state": "error", "context": "e2e", "description": "broke", "target_url": "https://ci.example"},
    ]});
    let both = [
        ("build".to_owned(), CommitState::Success),
        ("e2e".to_owned(), CommitState::Error),
    ];
    assert_eq!(read(ProviderType::GitHub, &github), both);
    let gitea = json!({"state": "failure", "sha": SHA, "total_count": 2, "statuses": [
        {"id": 1, "status": "success", "context": "build", "description": "", "target_url": ""},
        {"id": 2, "status": "error", "context": "e2e", "description": "broke", "target_url": "https://ci.example"},
    ]});
    assert_eq!(read(ProviderType::Gitea, &gitea), both);
    let none = json!({"state": "", "sha": SHA, "total_count": 0, "statuses": null});
    assert_eq!(read(ProviderType::Gitea, &none), []);
    let gitlab = json!([
        {"id": 1, "sha": SHA, "name": "build", "status": "success", "description": null, "target_url": null},
        {"id": 2, "sha": SHA, "name": "e2e", "status": "canceled", "allow_failure": false},
    ]);
    assert_eq!(read(ProviderType::GitLab, &gitlab), both);
}

#[test]
fn pull_requests_are_read_and_forks_are_told() {
    let github = |head: Value| {
        json!({
            "number": 7, "title": "Faster", "state": "open", "draft": true, "merged_at": null, "html_url": "https://pr/7",
            "user": {"login": "alice"}, "labels": [{"name": "preview"}],
            "head": {"ref": "fast", "sha": SHA, "repo": head}, "base": {"ref": "main", "sha": SHA, "repo": {"full_name": "shop/api"}},
        })
    };
    let read = |type_, body: &Value| {
        let read = at(type_).read_pull_request(&answer(200, body));
        read.unwrap().unwrap()
    };
    let gitlab = |source: u64| {
        json!({
            "iid": 7, "title": "Faster", "state": "opened", "draft": true, "sha": SHA, "source_branch": "fast",
            "target_branch": "main", "source_project_id": source, "target_project_id": 3, "labels": ["preview"],
            "author": {"username": "alice"}, "web_url": "https://pr/7",
        })
    };
    let expected = PullRequest {
        head_sha: SHA.into(),
        head_branch: "fast".into(),
        base_branch: "main".into(),
        is_fork: false,
        is_open: true,
        is_draft: true,
        labels: vec!["preview".into()],
    };
    for type_ in [ProviderType::GitHub, ProviderType::Gitea] {
        assert_eq!(
            read(type_, &github(json!({"full_name": "shop/api"}))),
            expected
        );
        assert!(read(type_, &github(json!({"full_name": "eve/api"}))).is_fork);
        assert!(
            read(type_, &github(Value::Null)).is_fork,
            "of a fork that is gone nothing is known"
        );
    }
    assert_eq!(read(ProviderType::GitLab, &gitlab(3)), expected);
    assert!(read(ProviderType::GitLab, &gitlab(4)).is_fork);
    let mut closed = github(Value::Null);
    closed["state"] = "closed".into();
    closed["draft"] = Value::Null;
    let closed = read(ProviderType::Gitea, &closed);
    assert!(!closed.is_open && !closed.is_draft);
    let mut merged = gitlab(3);
    merged["state"] = "merged".into();
    assert!(!read(ProviderType::GitLab, &merged).is_open);
    for type_ in ALL {
        let none = answer(404, &json!({"message": "Not Found"}));
        assert_eq!(at(*type_).read_pull_request(&none), Ok(None));
    }
}

#[test]
fn comments_are_read_as_each_provider_lists_them() {
    let listed = |type_: ProviderType, count: u64| {
        let one = |id: u64| match type_ {
            ProviderType::GitLab => {
                json!({"id": id, "body": "Fine", "author": {"username": "alice", "id": 1}, "system": false})
            }
            ProviderType::GitHub | ProviderType::Gitea => {
                json!({"id": id, "body": "Fine", "user": {"login": "alice", "username": "alice", "id": 1}})
            }
        };
        let mut all: Vec<Value> = (0..count).map(one).collect();
        // Of a user who is gone.
        all.insert(
            0,
            json!({"id": 400, "body": null, "user": null, "author": null}),
        );
        all
    };
    let of = |entries: &[Value]| Reply {
        status: 200,
        body: json!(entries).to_string().into_bytes(),
    };
    for type_ in ALL {
        let kept = kept(&at(*type_), "All");
        let who = json!({"id": 9, "login": "robot", "username": "robot"});
        let who = kept.owner(&Reply {
            status: 200,
            body: who.to_string().into_bytes(),
        });
        assert_eq!(who, Owner::Known("robot".into()));
        let mut few = listed(*type_, 2);
        assert_eq!(kept.look(&of(&few), &who), Ok(Look::Absent));
        let text = few[1]
            .to_string()
            .replace("alice", "robot")
            .replace("Fine", "All good");
        few.push(serde_json::from_str(&text).unwrap());
        assert_eq!(kept.look(&of(&few), &who), Ok(Look::Found(0)), "{type_}");
        let full = kept.look(&of(&listed(*type_, 29)), &who);
        let expected = match type_ {
            ProviderType::Gitea => Look::Absent,
            ProviderType::GitHub | ProviderType::GitLab => Look::More,
        };
        assert_eq!(full, Ok(expected), "{type_}");
    }
}

#[test]
fn what_is_there_already_is_a_conflict() {
    let answers = [
        (
            ProviderType::GitHub,
            422,
            json!({"message": "Reference already exists"}),
        ),
        (
            ProviderType::GitHub,
            422,
            json!({"message": "Validation Failed", "errors": [{"resource": "Release", "code": "already_exists", "field": "tag_name"}]}),
        ),
        (
            ProviderType::GitLab,
            400,
            json!({"message": "Tag v1 already exists"}),
        ),
        (
            ProviderType::GitLab,
            409,
            json!({"message": "Release already exists"}),
        ),
        (
            ProviderType::Gitea,
            409,
            json!({"message": "tag already exists"}),
        ),
    ];
    for (type_, status, body) in answers {
        let refusal = at(type_).read_done(&answer(status, &body)).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Conflict, "{type_} {body}");
    }
    let other = answer(422, &json!({"message": "Validation Failed"}));
    let refusal = at(ProviderType::GitHub).read_done(&other).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Invalid);
}

#[test]
fn findings_go_to_github_packed() {
    let request = at(ProviderType::GitHub).upload_sarif(SHA, "refs/pull/7/head", b"{\"runs\": []}");
    let request = request.unwrap();
    assert!(
        request
            .url
            .ends_with("/repos/shop/api/code-scanning/sarifs")
    );
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    assert_eq!(body["ref"], "refs/pull/7/head");
    let packed = STANDARD.decode(body["sarif"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(packed.as_slice());
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"runs\": []}");
    for other in [ProviderType::GitLab, ProviderType::Gitea] {
        assert_eq!(at(other).upload_sarif(SHA, "refs/heads/main", b"{}"), None);
    }
}

#[test]
fn a_pull_request_of_ours_is_looked_for_made_changed_and_closed() {
    let text = KeptPull {
        branch: "slipway/shop/production",
        base: "main",
        title: "production runs shop-2",
        body: "~secret~git~token~",
    };
    let github = at(ProviderType::GitHub).keep_pull(&text);
    assert_eq!(
        github.list.url,
        "https://api.github.com/repos/shop/api/pulls?state=open&per_page=30&head=shop%3Aslipway%2Fshop%2Fproduction&base=main&page="
    );
    let made = github.make.unwrap();
    assert!(made.access.as_ref().unwrap().secrets.is_empty());
    assert_eq!(
        sent(&made),
        "POST https://api.github.com/repos/shop/api/pulls {\"base\":\"main\",\"body\":\"~secret~git~token~\",\"head\":\"slipway/shop/production\",\"title\":\"production runs shop-2\"}"
    );
    let gitea = at(ProviderType::Gitea).keep_pull(&text);
    assert_eq!(
        gitea.list.url,
        "https://git.example/api/v1/repos/shop/api/pulls?state=open&limit=30&page="
    );
    assert_eq!(
        sent(&gitea.close),
        "PATCH https://git.example/api/v1/repos/shop/api/pulls/~id~ {\"state\":\"closed\"}"
    );
    let gitlab = at(ProviderType::GitLab).keep_pull(&text);
    let project = "https://gitlab.example/api/v4/projects/shop%2Fbackend%2Fapi";
    assert_eq!(
        gitlab.list.url,
        format!(
            "{project}/merge_requests?state=opened&source_branch=slipway%2Fshop%2Fproduction&target_branch=main&per_page=30&page="
        )
    );
    assert_eq!(
        sent(&gitlab.change),
        format!(
            "PUT {project}/merge_requests/~id~ {{\"description\":\"~secret~git~token~\",\"title\":\"production runs shop-2\"}}"
        )
    );
    assert_eq!(
        sent(&gitlab.close),
        format!("PUT {project}/merge_requests/~id~ {{\"state_event\":\"close\"}}")
    );
}
