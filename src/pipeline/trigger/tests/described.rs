//! What GitHub and GitLab deliver, as their published descriptions have it.

use super::*;

const SHA: &str = "3f9c2e1b8d7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";
const BEFORE: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";

/// The deliveries of a provider, in this order: a push, a tag, a branch that is gone, a pull request, one from elsewhere, a release.
fn deliveries(provider: Provider) -> [&'static str; 6] {
    macro_rules! of {
        ($name:literal) => {
            [
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-push.json"
                )),
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-tag.json"
                )),
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-gone.json"
                )),
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-pull-request.json"
                )),
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-fork.json"
                )),
                include_str!(concat!(
                    "../../../../tests/data/provider/",
                    $name,
                    "/webhook-release.json"
                )),
            ]
        };
    }
    match provider {
        Provider::GitHub | Provider::Gitea => of!("github"),
        Provider::GitLab => of!("gitlab"),
    }
}

/// What a delivery says; nothing where it says nothing of interest.
fn said(provider: Provider, delivery: &str) -> Option<Event> {
    let delivery: Value = serde_json::from_str(delivery).unwrap();
    let described = delivery["described"].as_str().unwrap();
    assert!(described.starts_with("https://docs."), "{described}");
    let kind = delivery["event"].as_str().unwrap();
    let body = delivery["body"].to_string();
    match read(provider, kind, body.as_bytes(), &spec(&json!([]))).unwrap() {
        Told::Event(event) => Some(*event),
        Told::Nothing(_) => None,
    }
}

#[test]
fn what_is_delivered_is_read_as_it_is_described() {
    for (provider, pulls) in [
        (Provider::GitHub, "refs/pull"),
        (Provider::GitLab, "refs/merge-requests"),
    ] {
        let all = deliveries(provider).map(|delivery| said(provider, delivery));
        let [push, tag, gone, own, fork, release] = all;
        assert_eq!(gone, None);
        let [push, tag, own, fork, release] = [push, tag, own, fork, release].map(Option::unwrap);
        let who = |name: &str| format!("{}:{name}", provider.as_str());
        assert_eq!(
            push.what,
            What::Push {
                files: Some(vec!["api/greet.rs".into(), "README.md".into()]),
                before: Some(BEFORE.into()),
            }
        );
        assert_eq!(
            (push.git_ref.as_str(), push.sha.as_deref(), &push.actor),
            ("refs/heads/main", Some(SHA), &who("alice"))
        );
        assert_eq!(push.message.as_deref(), Some("docs: say so"));
        assert_eq!(
            (tag.what, tag.git_ref.as_str(), tag.sha.as_deref()),
            (What::Tag, "refs/tags/v1.2.0", Some(SHA))
        );
        let pull = |number: u64, is_fork: bool| What::PullRequest {
            pull_request: PullRequest {
                number,
                base: Some("main".into()),
                fork: is_fork,
            },
            draft: is_fork,
        };
        assert_eq!(own.what, pull(7, false));
        assert_eq!(own.git_ref, format!("{pulls}/7/head"));
        assert_eq!(own.labels, Some(vec!["preview".to_owned()]));
        assert_eq!(own.sha.as_deref(), Some(SHA));
        assert_eq!(fork.what, pull(8, true));
        assert_eq!(fork.actor, who("mallory"));
        let published = What::Release {
            prerelease: provider == Provider::GitHub,
            id: "release 17372790".into(),
        };
        assert_eq!(
            (release.what, release.git_ref.as_str()),
            (published, "refs/tags/v1.2.0")
        );
        // What is as old as that is not taken.
        let at = Some("2026-11-20T10:00:00Z".parse().unwrap());
        assert_eq!([own.at, fork.at, release.at], [at; 3], "{provider:?}");
    }
}
