use super::*;
use proptest::prelude::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("slipway-archive-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn archive(&self, max_log: u64, max_total: u64) -> Archive {
        Archive::open(self.0.clone(), max_log, max_total).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(name: &str) -> RunId {
    RunId {
        namespace: "shop".into(),
        name: name.into(),
        uid: "4c1d".into(),
    }
}

fn about(pod: &str) -> About {
    About {
        pod: pod.into(),
        stage: "unit".into(),
        cell: None,
        attempt: 1,
        started_at: Timestamp::from_second(1_800_000_000).unwrap(),
        is_complete: false,
    }
}

fn part(offset: u64, text: &str) -> Part<'_> {
    Part {
        what: What::Log,
        offset,
        bytes: text.as_bytes(),
        is_last: false,
    }
}

fn text(archive: &Archive, run: &RunId, pod: &str) -> String {
    let bytes = archive
        .read(run, (pod, What::Log), 0, u64::MAX)
        .unwrap()
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn reports_are_kept_beside_the_log_and_go_with_it() {
    let folder = Folder::new("reports");
    let archive = folder.archive(10, 1 << 30);
    let (run, about) = (run("a"), about("pod-1"));
    archive.append(&run, &about, part(0, "one\n")).unwrap();
    let reports = |offset, bytes| Part {
        what: What::Reports,
        offset,
        bytes,
        is_last: true,
    };
    archive.append(&run, &about, reports(0, b"packed")).unwrap();
    let again = archive.append(&run, &about, reports(0, b"packed"));
    assert!(matches!(again, Err(Refused::Elsewhere(6))));
    // They have a limit of their own.
    let large = vec![0; usize::try_from(MAX_REPORTS + NOTES).unwrap()];
    let full = archive.append(&run, &about, reports(6, &large));
    assert!(matches!(full, Err(Refused::Full(MAX_REPORTS))));
    let all = archive.list(&run).unwrap();
    assert_eq!((all[0].bytes, all[0].reports), (4, 6));
    assert!(
        !all[0].about.is_complete,
        "of the log there is more to come"
    );
    let kept = archive.read(&run, ("pod-1", What::Reports), 2, 3).unwrap();
    assert_eq!(kept.unwrap(), b"cke");
    archive.sweep(|_| false).unwrap();
    let gone = archive.read(&run, ("pod-1", What::Reports), 0, 1).unwrap();
    assert_eq!(gone, None);
}

#[test]
fn a_part_that_comes_twice_is_there_once() {
    let folder = Folder::new("twice");
    let archive = folder.archive(1000, 1000);
    let (run, about) = (run("a"), about("pod-1"));
    archive.append(&run, &about, part(0, "one\n")).unwrap();
    let again = archive.append(&run, &about, part(0, "one\n"));
    assert!(matches!(again, Err(Refused::Elsewhere(4))), "{again:?}");
    let last = Part {
        is_last: true,
        ..part(4, "two\n")
    };
    archive.append(&run, &about, last).unwrap();
    assert_eq!(text(&archive, &run, "pod-1"), "one\ntwo\n");
    let all = archive.list(&run).unwrap();
    assert_eq!((all.len(), all[0].bytes), (1, 8));
    assert!(all[0].about.is_complete);
    assert_eq!(
        archive
            .read(&run, ("pod-1", What::Log), 4, 2)
            .unwrap()
            .unwrap(),
        b"tw"
    );
}

#[test]
fn a_log_has_a_limit() {
    let folder = Folder::new("limit");
    let archive = folder.archive(10, u64::MAX);
    let (run, about) = (run("a"), about("pod-1"));
    let long = "x".repeat(usize::try_from(NOTES).unwrap());
    archive.append(&run, &about, part(0, &long)).unwrap();
    let more = archive.append(&run, &about, part(NOTES, "0123456789 and more"));
    assert!(matches!(more, Err(Refused::Full(10))), "{more:?}");
}

#[test]
fn logs_go_with_their_run_and_the_oldest_beyond_the_limit() {
    let folder = Folder::new("sweep");
    let archive = folder.archive(1000, 700);
    for (age, name) in [(30, "old"), (20, "gone"), (10, "new")] {
        archive
            .append(&run(name), &about("pod-1"), part(0, &"x".repeat(300)))
            .unwrap();
        let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000 - age);
        for file in fs::read_dir(archive.folder_of(&run(name)).unwrap()).unwrap() {
            let file = File::options()
                .append(true)
                .open(file.unwrap().path())
                .unwrap();
            file.set_modified(then).unwrap();
        }
    }
    assert!(archive.is_full());
    let swept = archive.sweep(|run| run.name != "gone").unwrap();
    assert_eq!(swept.runs, 2, "{swept:?}");
    assert!(
        archive
            .read(&run("new"), ("pod-1", What::Log), 0, 1)
            .unwrap()
            .is_some()
    );
    assert!(
        archive
            .read(&run("old"), ("pod-1", What::Log), 0, 1)
            .unwrap()
            .is_none()
    );
    assert!(!archive.is_full());
    assert_eq!(
        archive.list(&run("old")).unwrap(),
        [],
        "what is not there has no logs"
    );
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let folder = Folder::new("names");
    let archive = folder.archive(1000, 1000);
    for bad in ["", "..", ".hidden", "a/b", "../a", "a\0b", "A", "a b"] {
        assert!(
            archive
                .append(&run(bad), &about("pod"), part(0, "x"))
                .is_err(),
            "{bad:?}"
        );
        assert!(
            archive.read(&run("a"), (bad, What::Log), 0, 1).is_err(),
            "{bad:?}"
        );
    }
}

proptest! {
    /// Whatever is sent again, and whatever answers are lost: the log is what was said.
    #[test]
    fn a_log_is_what_was_said(parts in proptest::collection::vec(("[a-z]{1,20}", 0..3_usize), 1..20)) {
        let folder = Folder::new("said");
        let archive = folder.archive(10_000, 10_000);
        let (run, about) = (run("a"), about("pod"));
        let (mut said, mut offset) = (String::new(), 0);
        for (words, again) in &parts {
            said.push_str(words);
            archive.append(&run, &about, part(offset, words)).unwrap();
            for _ in 0..*again {
                archive.append(&run, &about, part(offset, words)).unwrap_err();
            }
            offset += words.len() as u64;
        }
        prop_assert_eq!(text(&archive, &run, "pod"), said);
        fs::remove_dir_all(&folder.0).unwrap();
    }
}
