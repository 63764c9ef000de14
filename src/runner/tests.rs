//! The runner as a pod runs it, with real processes and a real repository.

use std::sync::atomic::{AtomicU32, Ordering};

use testbed::git::{GitServer, Repository};

use super::task::{ScriptTask, SourceTask};
use super::*;
use crate::pipeline::api::{ProblemMatcher, ReportFormat, SourceErrorKind, VersionRule};
use crate::pipeline_run::api::{Bump, Difference, FailureKind};

/// A folder of its own for one test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("slipway-runner-{}-{name}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("source")).unwrap();
        Self(path)
    }

    pub(crate) fn folders(&self) -> Folders {
        Folders {
            workspace: self.0.clone(),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join("source").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn script(text: &str) -> ScriptTask {
    ScriptTask {
        script: text.into(),
        command: Vec::new(),
        timeout_seconds: 60,
        reports: vec![(ReportFormat::Junit, vec!["**/junit*.xml".into()])],
        optional: Vec::new(),
        problems: Vec::new(),
        quarantine: Vec::new(),
        secrets: Vec::new(),
        saves_caches: false,
        pushes_packages: false,
    }
}

async fn stage(folder: &Folder, task: &ScriptTask) -> (report::StageReport, u8) {
    let mut stop = Stop::listen().unwrap();
    stage::run(task, &folder.folders(), &mut stop).await
}

const GOOD: &str = r#"<testsuite><testcase name="a"/><testcase name="b"/></testsuite>"#;
const BAD: &str = r#"<testsuite><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>"#;

#[tokio::test]
async fn reports_of_any_format_and_problems_in_the_output_are_gathered() {
    let folder = Folder::new("reports");
    let text = r#"echo 'SF:a
DA:1,1
DA:2,0
end_of_record' > lcov.info
        echo '[{"RuleID":"key","File":"a.env","StartLine":1,"Secret":"x"}]' > leaks.json
        echo "a.py:1:1: F401 unused"; printf "b.py:2:1: E501 long""#;
    let mut task = script(text);
    task.reports
        .push((ReportFormat::Lcov, vec!["*.info".into()]));
    task.reports
        .push((ReportFormat::Gitleaks, vec!["leaks.json".into()]));
    task.problems = vec![ProblemMatcher::Flake8];
    let (report, code) = stage(&folder, &task).await;
    assert_eq!((code, report.failure), (0, None));
    let summary = report.reports.clone().unwrap();
    assert_eq!(summary.coverage.unwrap().line_percent(), Some(50.0));
    let counts: Vec<u32> = summary.findings.iter().map(|set| set.total.sum()).collect();
    assert_eq!(counts, [2, 1]);
    let read = report::StageReport::parse(&report.encode()).unwrap();
    assert_eq!(read.reports, Some(summary));
}

#[tokio::test]
async fn failures_in_quarantine_alone_do_not_fail_a_script() {
    let folder = Folder::new("quarantine");
    let text = |code: u8| format!("echo '{BAD}' > junit.xml; exit {code}");
    let mut task = script(&text(1));
    task.quarantine = vec!["b".into()];
    let (report, code) = stage(&folder, &task).await;
    assert_eq!((code, report.failure), (0, None));
    assert!(report.message.unwrap().contains("quarantine"));
    // An exit code that says something else is believed.
    task.script = text(2);
    assert_eq!(stage(&folder, &task).await.1, 2);
    let (_, code) = stage(&folder, &script(&text(1))).await;
    assert_eq!(code, 1);
}

#[tokio::test]
async fn a_script_runs_in_the_checkout_and_its_reports_are_added_up() {
    let folder = Folder::new("good");
    folder.write("data.txt", "there");
    let text = format!(
        "test \"$(cat data.txt)\" = there\nmkdir out\necho '{GOOD}' > out/junit-1.xml; cp out/junit-1.xml junit.xml; echo done"
    );
    let (report, code) = stage(&folder, &script(&text)).await;
    assert_eq!((code, report.failure), (0, None));
    assert_eq!(report.tests.unwrap().total, 4);
    assert_eq!(report.log_tail, "done\n");
}

#[tokio::test]
async fn reports_of_a_failed_script_are_read_too() {
    let folder = Folder::new("bad");
    let (report, code) = stage(
        &folder,
        &script(&format!("echo '{BAD}' > junit.xml; exit 3")),
    )
    .await;
    assert_eq!((code, report.exit_code), (3, Some(3)));
    assert_eq!(report.failure, Some(FailureKind::Test));
    assert_eq!(report.message.as_deref(), Some("1 of 2 tests failed"));
    assert_eq!(report.failed_tests[0].name, "b");
}

#[tokio::test]
async fn the_first_command_that_fails_ends_the_script() {
    let folder = Folder::new("e");
    let (report, code) = stage(&folder, &script("false\necho never")).await;
    assert_eq!(code, 1);
    assert!(!report.log_tail.contains("never"));
}

#[tokio::test]
async fn a_report_that_the_repository_contains_is_not_one_of_the_script() {
    let folder = Folder::new("stale");
    folder.write("fixtures/junit.xml", GOOD);
    // Files of a checkout are older than the script; file systems tell times in steps.
    let old = std::fs::File::options()
        .write(true)
        .open(folder.0.join("source/fixtures/junit.xml"))
        .unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    let (report, _) = stage(&folder, &script("true")).await;
    assert_eq!(report.tests, None);
}

#[tokio::test]
async fn a_report_that_cannot_be_read_fails_the_stage() {
    let folder = Folder::new("broken");
    let (report, code) = stage(&folder, &script("echo '<testsuite><testcase' > junit.xml")).await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Test)));
    assert!(report.message.unwrap().contains("junit.xml cannot be read"));
    assert_eq!(report.tests, None);
}

#[tokio::test]
async fn a_timeout_keeps_log_and_reports() {
    let folder = Folder::new("late");
    let task = ScriptTask {
        timeout_seconds: 1,
        ..script(&format!(
            "echo '{GOOD}' > junit.xml; echo working; sleep 300"
        ))
    };
    let (report, code) = stage(&folder, &task).await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Timeout)));
    assert_eq!(report.log_tail, "working\n");
    assert_eq!(report.tests.unwrap().total, 2);
}

#[tokio::test]
async fn a_script_does_not_see_its_task_and_cannot_be_extended_from_outside() {
    let folder = Folder::new("env");
    let text = r#"test -z "$SLIPWAY_TASK"; echo 'a $(date) `id` "b"'"#;
    let (report, code) = stage(&folder, &script(text)).await;
    assert_eq!(code, 0);
    assert_eq!(report.log_tail, "a $(date) `id` \"b\"\n");
}

#[test]
fn the_runner_installs_itself() {
    let folder = Folder::new("install");
    let path = folder.0.join("slipway-runner");
    install(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(!folder.0.join("slipway-runner.part").exists());
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Args::command().debug_assert();
}

/// A repository with some commits, and their shas, oldest first.
async fn repository(count: u32) -> (GitServer, SourceTask, Vec<String>) {
    let (server, _, task, shas) = open_repository(count).await;
    (server, task, shas)
}

/// The same, and the repository to commit more to.
async fn open_repository(count: u32) -> (GitServer, Repository, SourceTask, Vec<String>) {
    let server = GitServer::start().await.unwrap();
    let repository = server.create("shop/api").await.unwrap();
    let mut shas = Vec::new();
    for number in 0..count {
        let (message, content) = (format!("Change {number}"), number.to_string());
        let files = [("file", content.as_str())];
        let commit = repository.commit("main", &message, &files);
        shas.push(commit.await.unwrap());
    }
    let task = SourceTask {
        url: server.url("shop/api"),
        insecure: true,
        sha: shas.last().unwrap().clone(),
        since: None,
        git_ref: None,
        changes: true,
        version: None,
        ca_file: None,
        login: None,
        depth: 1,
        submodules: false,
        older: None,
    };
    (server, repository, task, shas)
}

#[tokio::test]
async fn a_commit_is_checked_out_and_described() {
    let folder = Folder::new("source");
    let (_server, task, _) = repository(3).await;
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!(code, 0, "{report:?}");
    let commit = report.commit.unwrap();
    assert_eq!(
        (commit.author.as_str(), commit.subject.as_str()),
        ("Alice", "Change 2")
    );
    let file = std::fs::read_to_string(folder.0.join("source/file")).unwrap();
    assert_eq!(file, "2");
    let mode = std::fs::metadata(folder.0.join("source/file"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o666, 0o666, "any user may write");
    let text = std::fs::read_to_string(folder.folders().commit_file()).unwrap();
    let file: task::CommitFile = serde_json::from_str(&text).unwrap();
    assert_eq!(file.sha, task.sha);
    assert!(!folder.0.join("history.git").exists());
}

#[tokio::test]
async fn the_changes_are_those_since_the_previous_release() {
    let folder = Folder::new("changes");
    let (_server, mut task, shas) = repository(5).await;
    task.since = Some(shas[1].clone());
    let (report, _) = source::run(&task, &folder.folders()).await;
    let found: Vec<String> = report
        .commits()
        .into_iter()
        .map(|commit| commit.sha)
        .collect();
    assert_eq!(found, [shas[4].clone(), shas[3].clone(), shas[2].clone()]);
    task.since = Some("0".repeat(40));
    let (report, _) = source::run(&task, &folder.folders()).await;
    assert_eq!(report.commits().len(), 5, "all that are known");
    task.changes = false;
    let (report, _) = source::run(&task, &folder.folders()).await;
    assert_eq!(report.changes, []);
}

#[tokio::test]
async fn how_much_differs_from_the_previous_release_is_reported() {
    let folder = Folder::new("differs");
    let (_server, repository, mut task, shas) = open_repository(1).await;
    let before = [
        ("src/cart.py", "one\ntwo\nthree\n"),
        ("with space", "x\n"),
        ("image", "\0one"),
    ];
    let since = repository.commit("main", "Begin", &before).await.unwrap();
    let now = [
        ("src/cart.py", "one\n2\n2.5\nthree\n"),
        ("with space", "y\n"),
        ("image", "\0two"),
    ];
    task.sha = repository.commit("main", "Go on", &now).await.unwrap();
    task.since = Some(since.clone());
    let differs = async |task: &SourceTask| {
        let (report, code) = source::run(task, &folder.folders()).await;
        assert_eq!((code, report.error.clone()), (0, None));
        assert!(!folder.0.join("older.git").exists());
        report.difference()
    };
    let expected = Difference {
        lines: 3 + 2 + 1,
        files: Some(
            ["image", "src/cart.py", "with space"]
                .map(str::to_owned)
                .into(),
        ),
    };
    assert_eq!(differs(&task).await, Some(expected.clone()));
    // Beside what a gate asks for.
    task.older = Some(task::Older {
        since,
        lines: true,
        globs: vec!["docs/**".into()],
    });
    assert_eq!(differs(&task).await, Some(expected));
    task.older = None;

    // More files than are listed.
    let many: Vec<String> = (0..=Difference::MAX_FILES)
        .map(|n| format!("many/{n}"))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1\n")).collect();
    task.since = Some(task.sha.clone());
    task.sha = repository.commit("main", "Many", &many).await.unwrap();
    let found = differs(&task).await.unwrap();
    assert_eq!((found.lines, found.files), (65, None));

    // A commit that nobody hands out any more says nothing, and stops nothing. Neither does the first Release.
    task.since = Some("0".repeat(40));
    assert_eq!(differs(&task).await, None);
    task.since = None;
    assert_eq!(differs(&task).await, None);
    assert_eq!(shas.len(), 1);
}

#[tokio::test]
async fn coverage_of_the_lines_that_changed_is_told_apart() {
    let folder = Folder::new("changed");
    let (_server, repository, mut task, shas) = open_repository(1).await;
    let before = [("src/cart.py", "one\ntwo\nthree\n"), ("src/old.py", "x\n")];
    let since = repository.commit("main", "Begin", &before).await.unwrap();
    let now = [("src/cart.py", "one\n2\n2.5\nthree\nfour\n")];
    task.sha = repository.commit("main", "Go on", &now).await.unwrap();
    let lines = |since: String| task::Older {
        since,
        lines: true,
        globs: Vec::new(),
    };
    task.older = Some(lines(since));
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!((code, report.error), (0, None));
    assert!(!folder.0.join("older.git").exists());
    let lcov = "SF:src/cart.py\\nDA:1,1\\nDA:2,1\\nDA:3,0\\nDA:4,0\\nDA:5,1\\nend_of_record\\nSF:src/old.py\\nDA:1,0\\nend_of_record\\n";
    let left = format!("printf '{lcov}' > lcov.info");
    let covered = async || {
        let mut task = script(&left);
        task.reports = vec![(ReportFormat::Lcov, vec!["lcov.info".into()])];
        let (report, _) = stage(&folder, &task).await;
        report.reports.unwrap().coverage.unwrap()
    };
    let coverage = covered().await;
    let changed = coverage.changed.unwrap();
    assert_eq!((changed.covered_lines, changed.lines), (2, 3));
    assert_eq!((coverage.covered_lines, coverage.lines), (3, 6));

    // A commit that nobody hands out any more says nothing, and stops nothing.
    task.older = Some(lines("0".repeat(40)));
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!((code, report.error), (0, None));
    assert_eq!(covered().await.changed, None);
    assert_eq!(shas.len(), 1);
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_no_passing_trouble() {
    let folder = Folder::new("gone");
    let (server, mut task, _) = repository(1).await;
    task.sha = "1".repeat(40);
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!(code, 1);
    assert_eq!(report.error.unwrap().kind, SourceErrorKind::NotFound);
    task.url = server.url("other");
    let (report, _) = source::run(&task, &folder.folders()).await;
    assert_eq!(report.error.unwrap().kind, SourceErrorKind::NotFound);
}

#[tokio::test]
async fn a_commit_has_to_be_on_its_branch() {
    let folder = Folder::new("branch");
    let (_server, repository, mut task, shas) = open_repository(60).await;
    let on = |branch: &str| Some(format!("refs/heads/{branch}"));
    // The head, one close to it, and one further back than is looked at first.
    for sha in [&shas[59], &shas[40], &shas[0]] {
        task = SourceTask {
            sha: sha.clone(),
            git_ref: on("main"),
            ..task
        };
        let (report, code) = source::run(&task, &folder.folders()).await;
        assert_eq!((code, report.error), (0, None));
        assert!(!folder.0.join("history.git").exists());
    }
    let files = [("file", "something else")];
    let strange = repository
        .commit("proposal", "Not reviewed", &files)
        .await
        .unwrap();
    task = SourceTask {
        sha: strange,
        ..task
    };
    for (branch, expected) in [
        ("main", Some(SourceErrorKind::NotOnBranch)),
        ("gone", Some(SourceErrorKind::NoBranch)),
        ("proposal", None),
    ] {
        task.git_ref = on(branch);
        let (report, _) = source::run(&task, &folder.folders()).await;
        assert_eq!(report.error.map(|error| error.kind), expected, "{branch}");
    }
}

#[tokio::test]
async fn submodules_are_fetched_where_that_is_wanted() {
    let folder = Folder::new("submodules");
    let (server, repository, mut task, _) = open_repository(1).await;
    let other = server.create("shop/lib").await.unwrap();
    let old = other
        .commit("main", "Old", &[("lib", "old")])
        .await
        .unwrap();
    other
        .commit("main", "New", &[("lib", "new")])
        .await
        .unwrap();
    task.sha = repository
        .add_submodule("vendor/lib", "../lib", &old)
        .await
        .unwrap();
    let file = folder.0.join("source/vendor/lib/lib");
    let (_, code) = source::run(&task, &folder.folders()).await;
    assert_eq!((code, file.exists()), (0, false));
    task.submodules = true;
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!(code, 0, "{report:?}");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "old",
        "at the commit that is named"
    );

    // Nothing of the machine, and no other protocols.
    for url in ["/etc", "file:///etc", "ssh://git@git.example/lib"] {
        task.sha = repository
            .add_submodule("vendor/lib", url, &old)
            .await
            .unwrap();
        let (report, code) = source::run(&task, &folder.folders()).await;
        assert_eq!(code, 1, "{url}: {report:?}");
        assert!(!file.exists(), "{url}");
    }
}

#[tokio::test]
async fn a_stage_is_told_whether_its_files_have_changed() {
    let folder = Folder::new("unchanged");
    let (_server, repository, mut task, shas) = open_repository(2).await;
    let sha = repository
        .commit("main", "Docs", &[("docs/a.md", "a")])
        .await
        .unwrap();
    task.sha = sha;
    let ask_with = async |lines: bool, since: &str, glob: &str| {
        let task = SourceTask {
            older: Some(task::Older {
                since: since.to_owned(),
                lines,
                globs: vec![glob.to_owned()],
            }),
            ..task.clone()
        };
        let _ = std::fs::remove_file(folder.folders().unchanged_file());
        let (report, code) = source::run(&task, &folder.folders()).await;
        assert_eq!(code, 0, "{report:?}");
        assert_eq!(report.unchanged, folder.folders().unchanged_file().exists());
        let has_lines = folder.folders().changed_file().exists();
        assert_eq!(has_lines, lines && since != "0".repeat(40));
        report.unchanged
    };
    let ask = async |since: &str, glob: &str| {
        let unchanged = ask_with(false, since, glob).await;
        assert_eq!(ask_with(true, since, glob).await, unchanged);
        unchanged
    };
    assert!(ask(&shas[1], "src/**").await);
    assert!(!ask(&shas[1], "docs/**").await);
    assert!(ask(&shas[1], "file").await, "it has changed before");
    assert!(!ask(&shas[0], "file").await);
    assert!(!ask(&"0".repeat(40), "src/**").await, "nobody can tell");
    let script = script("touch ran");
    std::fs::write(folder.folders().unchanged_file(), "").unwrap();
    let (report, code) = stage(&folder, &script).await;
    assert_eq!((code, report), (0, report::StageReport::default()));
    assert!(!folder.0.join("source/ran").exists());
}

#[tokio::test]
async fn http_has_to_be_allowed() {
    let folder = Folder::new("http");
    let (_server, mut task, _) = repository(1).await;
    task.insecure = false;
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!((code, report.commit), (1, None));
    assert!(report.error.unwrap().message.contains("not allowed"));
}

#[tokio::test]
async fn a_repository_with_a_login_is_fetched_with_the_password_of_a_file() {
    let folder = Folder::new("login");
    let (server, mut task, _) = repository(2).await;
    server.set_login("ci", "open sesame");
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!(
        (code, report.error.unwrap().kind),
        (1, SourceErrorKind::Auth)
    );
    let file = folder.0.join("password");
    std::fs::write(&file, "open sesame\n").unwrap();
    task.login = Some(task::GitLogin {
        username: "ci".into(),
        password_file: file.display().to_string(),
    });
    let (report, code) = source::run(&task, &folder.folders()).await;
    assert_eq!((code, report.error), (0, None));
    let kept = std::fs::read_to_string(folder.0.join("source/.git/config")).unwrap();
    assert!(
        !kept.contains("uthorization"),
        "scripts do not find it: {kept}"
    );
    std::fs::write(&file, "wrong").unwrap();
    let (report, _) = source::run(&task, &folder.folders()).await;
    let message = report.error.unwrap().message;
    assert!(
        message.contains("source.git.credentials") && !message.contains("wrong"),
        "{message}"
    );
}

#[tokio::test]
async fn as_many_commits_are_fetched_as_the_depth_says() {
    let folder = Folder::new("depth");
    let (_server, mut task, _) = repository(5).await;
    for (depth, expected) in [(1, 1), (3, 3), (0, 5)] {
        task.depth = depth;
        let (_, code) = source::run(&task, &folder.folders()).await;
        assert_eq!(code, 0);
        let git = std::process::Command::new("git")
            .args(["rev-list", "--count", "HEAD"])
            .current_dir(folder.folders().checkout())
            .output()
            .unwrap();
        let count = String::from_utf8(git.stdout).unwrap();
        assert_eq!(count.trim(), expected.to_string(), "depth {depth}");
    }
}

#[tokio::test]
async fn a_secret_that_is_a_file_is_in_neither_log_nor_reports() {
    let folder = Folder::new("secret");
    let file = folder.0.join("token");
    std::fs::write(&file, "hidden-word\n").unwrap();
    let path = file.display().to_string();
    let bad = BAD.replace("no", "got hidden-word");
    let task = ScriptTask {
        secrets: vec![task::SecretSource::File(path.clone())],
        ..script(&format!(
            "cat {path}; cat {path} | base64; echo '{bad}' > junit.xml; exit 1"
        ))
    };
    let (report, code) = stage(&folder, &task).await;
    assert_eq!(code, 1);
    assert_eq!(
        report.log_tail.matches("[redacted]").count(),
        2,
        "{}",
        report.log_tail
    );
    let text = report.encode();
    assert!(
        text.contains("got [redacted]") && !text.contains("hidden"),
        "{text}"
    );
}

#[tokio::test]
async fn secrets_are_masked_in_what_reports_say_before_it_is_packed() {
    let folder = Folder::new("packed");
    let file = folder.0.join("token");
    std::fs::write(&file, "hidden-word").unwrap();
    let leak = r#"[{"RuleID":"key","Description":"hidden-word here","File":"hidden-word.env"}]"#;
    let bom = r#"{"bomFormat":"CycloneDX","components":[{"licenses":[{"license":{"name":"hidden-word"}}]}]}"#;
    let mut task = script(&format!(
        "echo '{leak}' > leaks.json; echo '{bom}' > bom.json"
    ));
    task.secrets = vec![task::SecretSource::File(file.display().to_string())];
    task.reports = vec![
        (ReportFormat::Gitleaks, vec!["leaks.json".into()]),
        (ReportFormat::CycloneDx, vec!["bom.json".into()]),
    ];
    let (report, code) = stage(&folder, &task).await;
    assert_eq!(code, 0);
    let read = report::StageReport::parse(&report.encode()).unwrap();
    let said = format!("{:?}", read.reports.unwrap());
    assert!(
        said.contains("[redacted]") && !said.contains("hidden"),
        "{said}"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_hidden_keeps_the_script_from_running() {
    let folder = Folder::new("short");
    let file = folder.0.join("token");
    std::fs::write(&file, "ab").unwrap();
    let task = ScriptTask {
        secrets: vec![task::SecretSource::File(file.display().to_string())],
        ..script("touch ran")
    };
    let (report, code) = stage(&folder, &task).await;
    assert_eq!((code, report.failure), (1, Some(FailureKind::Config)));
    assert!(report.message.unwrap().contains("fewer than 6"));
    assert!(!folder.0.join("source/ran").exists());
}

#[tokio::test]
async fn a_server_that_is_down_is_asked_again_and_then_told_as_passing_trouble() {
    let folder = Folder::new("down");
    let task = SourceTask {
        // Nobody listens there.
        url: "http://127.0.0.1:1/a.git".into(),
        insecure: true,
        sha: "1".repeat(40),
        since: None,
        git_ref: None,
        changes: false,
        version: None,
        ca_file: None,
        login: None,
        depth: 1,
        submodules: false,
        older: None,
    };
    let (report, code) = source::run_with(
        &task,
        &folder.folders(),
        &[std::time::Duration::from_millis(10)],
    )
    .await;
    assert_eq!(code, task::TRANSIENT);
    assert_eq!(report.error.unwrap().kind, SourceErrorKind::Unreachable);
}

#[tokio::test]
async fn the_commits_since_the_previous_release_ask_for_a_version() {
    let folder = Folder::new("bump");
    let (_server, repository, mut task, shas) = open_repository(3).await;
    task.version = Some(VersionRule::default());
    let ask = async |sha: &str, since: Option<&String>| {
        let task = SourceTask {
            sha: sha.to_owned(),
            since: since.cloned(),
            ..task.clone()
        };
        let (report, code) = source::run(&task, &folder.folders()).await;
        assert_eq!(code, 0, "{report:?}");
        (report.bump.unwrap(), report.breaking())
    };
    let commit = async |message: &str| repository.commit("main", message, &[]).await.unwrap();
    let docs = commit("docs: say it").await;
    assert_eq!(ask(&docs, Some(&shas[2])).await, (Bump::None, Vec::new()));
    let feature = commit("feat(cart): pay later").await;
    // Further back than commits are listed.
    let mut last = feature;
    for number in 0..60 {
        last = commit(&format!("chore: {number}")).await;
    }
    assert_eq!(ask(&last, Some(&docs)).await.0, Bump::Minor);
    let broken = commit("fix: x\n\nWords.\n\nBREAKING CHANGE: cash is gone").await;
    let (bump, breaking) = ask(&broken, Some(&docs)).await;
    assert_eq!(
        (bump, breaking[0].text.as_str()),
        (Bump::Major, "cash is gone")
    );
    assert_eq!(breaking[0].sha, broken);
    assert_eq!(ask(&broken, Some(&last)).await.0, Bump::Major);
    assert_eq!(ask(&docs, None).await.0, Bump::Patch, "some follow no form");
    let back = commit("Revert \"fix: x\"").await;
    assert_eq!(ask(&back, Some(&last)).await, (Bump::None, Vec::new()));
    assert_eq!(ask(&back, Some(&broken)).await.0, Bump::Patch, "it was out");
}
