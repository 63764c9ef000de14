//! A version in a real repository, behind a real server.

use testbed::git::{GitServer, Repository};

use super::*;
use crate::pipeline::api::{Author, VersionFile};
use crate::runner::task::SourceTask;
use crate::runner::tests::Folder;

struct Shop {
    _git: GitServer,
    repository: Repository,
    task: ReleaseTask,
    folder: Folder,
}

impl Shop {
    /// A repository with a version in two files, at 1.2.3.
    async fn new() -> Self {
        let git = GitServer::start().await.unwrap();
        let repository = git.create("shop").await.unwrap();
        let files = [
            ("Cargo.toml", "[package]\nversion = \"1.2.3\"\n"),
            ("web/VERSION", "1.2.3\n"),
            ("CHANGELOG.md", "# Changes\n"),
            ("app", "one"),
        ];
        let sha = repository
            .commit("main", "feat: one", &files)
            .await
            .unwrap();
        let source = serde_json::json!({"url": git.url("shop"), "insecure": true, "sha": sha});
        let source: SourceTask = serde_json::from_value(source).unwrap();
        let task = ReleaseTask {
            source,
            branch: Some("refs/heads/main".into()),
            tag: "v1.3.0".into(),
            version: "1.3.0".into(),
            notes: "### Features\n\n- one (abc1234)\n".into(),
            files: vec![
                VersionFile {
                    path: "Cargo.toml".into(),
                    pattern: Some("^version = \"(.+)\"$".into()),
                },
                VersionFile {
                    path: "web/VERSION".into(),
                    pattern: None,
                },
            ],
            changelog: Some("CHANGELOG.md".into()),
            merge_into: Vec::new(),
            author: Author {
                name: "Robot".into(),
                email: "robot@example.com".into(),
            },
            timeout_seconds: 60,
        };
        Self {
            _git: git,
            repository,
            task,
            folder: Folder::new("release"),
        }
    }

    async fn release(&self) -> (StageReport, u8) {
        run(&self.task, &self.folder.folders()).await
    }

    async fn at(&self, name: &str) -> String {
        self.repository.resolve(name).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_tag_is_the_commit_with_the_version_in_its_files() {
    let shop = Shop::new().await;
    let (report, code) = shop.release().await;
    assert_eq!((code, report.failure), (0, None), "{report:?}");
    let tagged = shop.at("refs/tags/v1.3.0").await;
    assert_eq!(shop.at("refs/heads/main").await, tagged);
    assert_eq!(report.published, [tagged]);
    let read = async |path| shop.repository.read("v1.3.0", path).await.unwrap();
    assert_eq!(read("Cargo.toml").await, "[package]\nversion = \"1.3.0\"");
    assert_eq!(read("web/VERSION").await, "1.3.0");
    assert_eq!(read("app").await, "one");
    assert!(
        read("CHANGELOG.md")
            .await
            .starts_with("# Changes\n\n## 1.3.0 (")
    );
    // Done again, it is there: nothing new, and no second commit.
    let (again, code) = shop.release().await;
    assert_eq!(code, 0);
    assert!(again.message.unwrap().ends_with("already"));
    assert_eq!(again.published, report.published);
}

#[tokio::test]
async fn a_tag_alone_changes_no_branch() {
    let mut shop = Shop::new().await;
    shop.task.files.clear();
    shop.task.changelog = None;
    let (report, code) = shop.release().await;
    assert_eq!((code, report.published.len()), (0, 0), "{report:?}");
    let sha = &shop.task.source.sha;
    assert_eq!(shop.at("refs/tags/v1.3.0").await, *sha);
    assert_eq!(shop.at("refs/heads/main").await, *sha);
}

#[tokio::test]
async fn a_branch_that_has_moved_gets_a_merge() {
    let shop = Shop::new().await;
    let main = shop
        .repository
        .commit("main", "fix: two", &[("app", "two")]);
    let main = main.await.unwrap();
    let (report, code) = shop.release().await;
    assert_eq!(code, 0, "{report:?}");
    let read = async |name, path| shop.repository.read(name, path).await.unwrap();
    assert_eq!(read("v1.3.0", "app").await, "one", "what was built");
    assert_eq!(read("main", "app").await, "two");
    assert_eq!(read("main", "web/VERSION").await, "1.3.0");
    let tagged = shop.at("refs/tags/v1.3.0").await;
    let merged = shop.at("refs/heads/main").await;
    assert_eq!(report.published, [tagged], "nobody has tested the merge");
    assert!(merged != main && !report.published.contains(&merged));
}

#[tokio::test]
async fn a_version_is_never_moved() {
    let mut shop = Shop::new().await;
    assert_eq!(shop.release().await.1, 0);
    let tagged = shop.at("refs/tags/v1.3.0").await;
    shop.repository.pull("main").await.unwrap();
    let next = shop
        .repository
        .commit("main", "fix: two", &[("app", "two")]);
    shop.task.source.sha = next.await.unwrap();
    let (report, code) = shop.release().await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Publish)));
    let message = report.message.unwrap();
    assert!(message.contains("never moved") && message.contains("retry that run"));
    assert_eq!(shop.at("refs/tags/v1.3.0").await, tagged);
    assert_eq!(shop.at("refs/heads/main").await, shop.task.source.sha);
}

#[tokio::test]
async fn a_release_branch_is_merged_back() {
    let mut shop = Shop::new().await;
    let files = [("web/VERSION", "2.0.0\n"), ("new", "x")];
    shop.repository
        .commit("next", "feat!: new", &files)
        .await
        .unwrap();
    let files = [("app", "hot"), ("web/VERSION", "1.2.4\n")];
    let built = shop
        .repository
        .commit("main", "fix: hot", &files)
        .await
        .unwrap();
    shop.repository
        .commit("other", "x", &[("app", "else")])
        .await
        .unwrap();
    shop.task.source.sha = built;
    shop.task.merge_into = ["next", "gone"]
        .map(|name| format!("refs/heads/{name}"))
        .into();
    let (report, code) = shop.release().await;
    assert_eq!(code, 0, "{report:?}");
    let message = report.message.unwrap();
    assert!(
        message.contains("merged into next; there is no branch gone"),
        "{message}"
    );
    let read = async |path| shop.repository.read("next", path).await.unwrap();
    assert_eq!(read("app").await, "hot");
    assert_eq!(read("web/VERSION").await, "2.0.0", "its own version stays");
    assert_eq!(report.published, [shop.at("refs/heads/main").await]);
}

#[tokio::test]
async fn what_cannot_be_merged_is_left_alone_and_told() {
    let mut shop = Shop::new().await;
    let theirs = shop
        .repository
        .commit("next", "feat: a", &[("app", "theirs")]);
    let theirs = theirs.await.unwrap();
    let ours = shop.repository.commit("main", "fix: b", &[("app", "ours")]);
    shop.task.source.sha = ours.await.unwrap();
    shop.task.merge_into = vec!["refs/heads/next".into()];
    let (report, code) = shop.release().await;
    assert_eq!(code, 0, "{report:?}");
    let message = report.message.unwrap();
    assert!(
        message.contains("next is left alone, because both have changed app"),
        "{message}"
    );
    assert_eq!(shop.at("refs/heads/next").await, theirs);
}

#[tokio::test]
async fn a_link_in_the_repository_leads_nowhere() {
    let mut shop = Shop::new().await;
    shop.task.changelog = Some("app".into());
    let link = shop
        .repository
        .link("web/LINK", "/etc/hostname")
        .await
        .unwrap();
    shop.task.source.sha = link;
    shop.task.files[1].path = "web/LINK".into();
    let (report, code) = shop.release().await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Config)));
    assert_eq!(
        report.message.as_deref(),
        Some("file web/LINK is no plain file")
    );
    assert_eq!(
        shop.repository.resolve("refs/tags/v1.3.0").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_file_without_a_place_for_it_fails_before_anything_is_pushed() {
    let mut shop = Shop::new().await;
    shop.task.files[0].pattern = Some("^v = (.+)$".into());
    let (report, code) = shop.release().await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Config)));
    assert!(
        report
            .message
            .unwrap()
            .contains("Cargo.toml has no line that fits")
    );
    assert_eq!(
        shop.repository.resolve("refs/tags/v1.3.0").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn the_version_of_a_tag_is_left_as_it_is() {
    let mut shop = Shop::new().await;
    let sha = shop.task.source.sha.clone();
    shop.repository.tag("v1.3.0", &sha).await.unwrap();
    shop.task.branch = None;
    let (report, code) = shop.release().await;
    assert_eq!((code, report.published.len()), (0, 0), "{report:?}");
    assert!(report.message.unwrap().ends_with("already"));
}
