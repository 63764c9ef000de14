//! The exchanges are written from the providers' public descriptions of their APIs; those with Gitea are also played on a
//! real one, in `tests/it/gitea.rs`.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::testing::{SHA, answer, at, good, of, provider, sent};
use super::*;

const ALL: &[ProviderType] = ProviderType::ALL;

fn status(state: CommitState) -> CommitStatus {
    CommitStatus {
        context: "slipway/api/unit".into(),
        state,
        description: "312 tests passed".into(),
        url: Some("https://runs.example/1".into()),
    }
}

#[test]
fn every_operation_is_sent_as_the_provider_describes_it() {
    let release = ProviderRelease {
        tag: "v1.2.0".into(),
        name: "1.2.0".into(),
        notes: "## Features\n".into(),
        is_prerelease: false,
        url: None,
    };
    let mut all = Vec::new();
    for type_ in ALL {
        let provider = at(*type_);
        let requests = [
            provider.set_status(SHA, &status(CommitState::Pending)),
            provider.set_status(SHA, &status(CommitState::Failure)),
            provider.statuses(SHA, 1),
            provider.comments(7, 2),
            provider.add_comment(7, "All *good*"),
            provider.update_comment(7, 41, "All *bad*"),
            provider.pull_request(7),
            provider.pull_requests(1),
            provider.tag("v1.2.0"),
            provider.create_tag("v1.2.0", SHA),
            provider.release("v1.2.0"),
            provider.create_release(&release, SHA),
            provider.file(".slipway/pipeline.yaml", "refs/heads/main"),
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
        let request = at(*type_).add_comment(7, body);
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
    let url = |git: &Value| of(git).unwrap().pull_request(1).url;
    let on = |url: &str, type_: ProviderType| json!({"url": url, "provider": provider(type_)});
    let with = |mut git: Value, api: &str| {
        json_patch::merge(&mut git, &json!({"provider": {"apiUrl": api}}));
        git
    };
    assert_eq!(
        url(&on("https://github.com/shop/api", ProviderType::GitHub)),
        "https://api.github.com/repos/shop/api/pulls/1"
    );
    assert_eq!(
        url(&on(
            "https://ghe.example/shop/api.git",
            ProviderType::GitHub
        )),
        "https://ghe.example/api/v3/repos/shop/api/pulls/1"
    );
    assert_eq!(
        url(&on(
            "http://localhost:3000/shop/api.git",
            ProviderType::Gitea
        )),
        "http://localhost:3000/api/v1/repos/shop/api/pulls/1"
    );
    let below = on("https://x.example/git/shop/api.git", ProviderType::Gitea);
    assert_eq!(
        url(&with(below, "https://x.example/git/api/v1/")),
        "https://x.example/git/api/v1/repos/shop/api/pulls/1"
    );
    let groups = on("https://x.example/gitlab/a/b/c.git", ProviderType::GitLab);
    assert_eq!(
        url(&with(groups, "https://x.example/gitlab/api/v4")),
        "https://x.example/gitlab/api/v4/projects/a%2Fb%2Fc/merge_requests/1"
    );
    assert_eq!(
        of(&json!({"url": "https://git.example/shop/api.git"})),
        None
    );
}

#[test]
fn what_comes_from_outside_does_not_lead_elsewhere() {
    for type_ in ALL {
        let provider = at(*type_);
        let file = provider.file("../../../user", "main&x=1#y").url;
        assert!(!file.contains("/../"), "{file}");
        assert!(file.ends_with("ref=main%26x%3D1%23y"), "{file}");
        let tag = provider.release("../../x?y").url;
        assert!(tag.ends_with("..%2F..%2Fx%3Fy"), "{tag}");
    }
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
fn statuses_are_read_as_each_provider_words_them() {
    let read = |type_, body: &Value| {
        let read = at(type_).read_statuses(&good(body)).unwrap();
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
fn comments_are_read_and_a_full_page_says_that_there_may_be_more() {
    let github = |id: u64| json!({"id": id, "body": "text", "user": {"login": "alice", "username": "alice", "id": 1}});
    let gitlab = |id: u64| json!({"id": id, "body": "text", "author": {"username": "alice", "id": 1}, "system": false});
    let many =
        |one: &dyn Fn(u64) -> Value| Value::from((0..u64::from(PAGE)).map(one).collect::<Vec<_>>());
    let read = |type_, body: &Value| at(type_).read_comments(&good(body)).unwrap();
    let (few, more) = read(ProviderType::GitHub, &json!([github(1)]));
    assert_eq!((few[0].author.as_str(), more), ("alice", false));
    assert!(read(ProviderType::GitHub, &many(&github)).1);
    assert!(read(ProviderType::GitLab, &many(&gitlab)).1);
    assert!(
        !read(ProviderType::Gitea, &many(&github)).1,
        "it sends all at once"
    );
    let gone = json!([{"id": 1, "body": null, "user": null}]);
    assert_eq!(read(ProviderType::GitHub, &gone).0[0].author, "ghost");
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
    let read = |type_, body: &Value| at(type_).read_pull_request(&good(body)).unwrap().unwrap();
    for type_ in [ProviderType::GitHub, ProviderType::Gitea] {
        let own = read(type_, &github(json!({"full_name": "shop/api"})));
        assert!(own.is_open && own.is_draft && !own.is_merged && !own.is_fork);
        assert_eq!(
            (
                own.number,
                own.head_branch.as_str(),
                own.base_branch.as_str()
            ),
            (7, "fast", "main")
        );
        assert_eq!(own.labels, ["preview"]);
        assert!(read(type_, &github(json!({"full_name": "eve/api"}))).is_fork);
        assert!(
            read(type_, &github(Value::Null)).is_fork,
            "of a fork that is gone nothing is known"
        );
    }
    let gitlab = |source: u64| {
        json!({
            "iid": 7, "title": "Faster", "state": "opened", "draft": true, "sha": SHA, "source_branch": "fast",
            "target_branch": "main", "source_project_id": source, "target_project_id": 3, "labels": ["preview"],
            "author": {"username": "alice"}, "web_url": "https://pr/7",
        })
    };
    let own = read(ProviderType::GitLab, &gitlab(3));
    assert_eq!(
        own,
        read(
            ProviderType::GitHub,
            &github(json!({"full_name": "shop/api"}))
        )
    );
    assert!(read(ProviderType::GitLab, &gitlab(4)).is_fork);
    for type_ in ALL {
        let none = answer(404, &json!({"message": "Not Found"}));
        assert_eq!(at(*type_).read_pull_request(&none), Ok(None));
        let list = at(*type_).read_pull_requests(&answer(500, &json!([])));
        assert!(list.is_err(), "an error is never an empty list");
    }
}

#[test]
fn tags_and_releases_are_found_or_not() {
    let none = answer(404, &json!({"message": "404 Not found"}));
    let tags = [
        json!({"ref": "refs/tags/v1", "object": {"type": "commit", "sha": SHA}}),
        json!({"name": "v1", "target": SHA, "commit": {"id": SHA}}),
        json!({"name": "v1", "id": SHA, "commit": {"sha": SHA, "url": "u"}}),
    ];
    let releases = [
        json!({"tag_name": "v1", "name": "One", "body": "notes", "prerelease": false, "html_url": "u"}),
        json!({"tag_name": "v1", "name": "One", "description": "notes", "_links": {"self": "u"}}),
        json!({"tag_name": "v1", "name": "One", "body": "notes", "prerelease": false, "html_url": "u"}),
    ];
    for ((type_, tag), release) in ALL.iter().zip(&tags).zip(&releases) {
        let provider = at(*type_);
        assert_eq!(provider.read_tag(&good(tag)), Ok(Some(SHA.to_owned())));
        assert_eq!(provider.read_tag(&none), Ok(None));
        let found = provider.read_release(&good(release)).unwrap().unwrap();
        assert_eq!((found.tag.as_str(), found.notes.as_str()), ("v1", "notes"));
        assert_eq!(provider.read_release(&none), Ok(None));
        assert_eq!(provider.read_file(&none), Ok(None));
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
