//! Runs of Pipelines to which the repository adds.

use super::*;
use crate::git::object::ObjectType;
use crate::git::object::tests::{answer as object_answer, id_of, line};
use crate::outbox::api::OutboxState;
use crate::pipeline::definition::PATH;
use crate::pipeline_run::api::DefinitionStep;
use crate::provider::api::ProviderType;
use crate::provider::testing::provider;

const TEXT: &str = "stages:\n- {name: lint, type: Lint, image: 'ruff:1', run: ruff check}\n";

/// A repository whose branch `main` has this file.
struct Repository {
    objects: Vec<(ObjectType, Vec<u8>)>,
    head: String,
}

impl Repository {
    fn with(file: &str) -> Self {
        let file = file.as_bytes().to_vec();
        let folder = line("100644", PATH[1], &id_of(ObjectType::Blob, &file));
        let root = line("40000", PATH[0], &id_of(ObjectType::Tree, &folder));
        let commit = format!("tree {}\n\nfirst\n", id_of(ObjectType::Tree, &root)).into_bytes();
        let head = id_of(ObjectType::Commit, &commit);
        let objects = vec![
            (ObjectType::Commit, commit),
            (ObjectType::Tree, root),
            (ObjectType::Tree, folder),
            (ObjectType::Blob, file),
        ];
        Self { objects, head }
    }

    /// What it answers.
    fn body(&self, request: &crate::model::action::Request) -> Vec<u8> {
        let Some(asked) = &request.body else {
            let line = format!("{} refs/heads/main\0caps\n", self.head);
            let body = format!(
                "001e# service=git-upload-pack\n0000{:04x}{line}0000",
                line.len() + 4
            );
            return body.into_bytes();
        };
        let mut objects = self.objects.iter();
        let (type_, content) = objects
            .find(|(type_, content)| asked.contains(&id_of(*type_, content)))
            .unwrap();
        object_answer(*type_, content, 1000)
    }
}

fn plan_of(seen: &Observed) -> Plan<PipelineRunStatus> {
    plan(seen, NOW)
}

/// Answers every question, until none is left or the run does something.
fn settled(
    mut seen: Observed,
    repository: &Repository,
) -> (Observed, Plan<PipelineRunStatus>, usize) {
    for asked in 0..9 {
        let plan = plan(&seen, NOW);
        if plan.progress.phase.is_some_and(RunPhase::is_finished) {
            return (seen, plan, asked);
        }
        let mut outcome = Outcome::default();
        for action in &plan.actions {
            if let Action::Fetch { key, request } = action {
                let body = repository.body(request);
                outcome
                    .replies
                    .insert(key.clone(), Ok(Reply { status: 200, body }));
            }
        }
        let next = status(&seen, &plan, &outcome, NOW);
        if outcome.replies.is_empty() {
            return (seen, plan, asked);
        }
        seen.status = next;
    }
    panic!("asks without end");
}

fn with_definition(sha: Option<&str>, definition: &Value) -> Observed {
    let mut seen = a_run();
    seen.images.receiver = Some(receiver());
    seen.spec.sha = sha.map(str::to_owned);
    let pipeline = seen.pipeline.as_mut().unwrap();
    pipeline.spec.definition = Some(serde_json::from_value(definition.clone()).unwrap());
    seen
}

fn stage_names(manifest: &Manifest) -> Vec<&str> {
    let stages = manifest.body["data"]["stages"].as_array().unwrap();
    stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_snapshot_is_of_the_pipeline_and_of_what_the_commit_adds() {
    let repository = Repository::with(TEXT);
    let seen = with_definition(Some(&repository.head), &json!({}));
    let (seen, plan, asked) = settled(seen, &repository);
    // The commit is on the branch of the source: nobody has to be asked for its head.
    assert_eq!(asked, 4);
    let taken = created(&plan);
    assert_eq!(stage_names(taken[0]), ["unit", "image", "lint"]);
    assert_eq!(plan.progress.revision.as_ref(), Some(&taken[0].key.name));
    let known = plan.progress.definition.as_ref().unwrap();
    assert_eq!(known.sha.as_ref(), Some(&repository.head));
    assert_eq!(known.text.as_deref(), Some(TEXT));

    // The process dies before it makes the snapshot: the same one is made from what is on record.
    let mut again = seen;
    again.status = plan.progress.clone();
    let plan = plan_of(&again);
    assert_eq!(created(&plan)[0].body, taken[0].body);

    let whole = serde_json::from_value(taken[0].body["data"].clone()).unwrap();
    again.snapshot = Snapshot::Taken(Box::new(whole));
    let begun = plan_of(&again);
    assert_eq!(names(&begun), [UNIT, "api-1-lint-1"]);
    let known = begun.progress.definition.unwrap();
    assert_eq!(
        (known.text, known.object, known.step),
        (None, None, Some(DefinitionStep::Read))
    );
}

#[test]
fn a_mistake_is_told_to_the_provider_of_the_repository() {
    let repository =
        Repository::with("stages:\n- {name: out, type: Publish, image: 'a:1', run: x}\n");
    let mut seen = with_definition(Some(&repository.head), &json!({}));
    let git = &mut seen.pipeline.as_mut().unwrap().spec.source.git;
    git.provider = serde_json::from_value(provider(ProviderType::Gitea)).unwrap();
    let (mut seen, failed, _) = settled(seen, &repository);
    let message = |plan: &Plan<PipelineRunStatus>| {
        plan.actions.iter().find_map(|action| match action {
            Action::Fetch { key, request } if key == "status" => Some(request.clone()),
            _ => None,
        })
    };
    let request = message(&failed).unwrap();
    assert!(request.url.ends_with(&repository.head), "{}", request.url);
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    assert_eq!(body["context"], "slipway/api");
    assert_eq!(body["state"], "failure");
    let said = body["description"].as_str().unwrap();
    assert!(said.contains("line 2, column 3"), "{said}");
    // Killed before it was sent, and after.
    seen.status = failed.progress.clone();
    let again = plan_of(&seen);
    assert_eq!(message(&again), Some(request));
    let body = b"{}".to_vec();
    let mut outcome = Outcome::default();
    outcome
        .replies
        .insert("status".into(), Ok(Reply { status: 201, body }));
    seen.status = status(&seen, &again, &outcome, NOW);
    assert_eq!(seen.status.outbox[0].state, OutboxState::Sent);
    assert_eq!(message(&plan_of(&seen)), None);
}

#[test]
fn a_run_by_hand_takes_commit_and_definition_of_one_answer() {
    let repository = Repository::with(TEXT);
    let mut seen = with_definition(None, &json!({}));
    seen.spec.trigger.kind = TriggerKind::Manual;
    let (_, plan, asked) = settled(seen, &repository);
    assert_eq!(asked, 5);
    assert_eq!(plan.progress.sha.as_ref(), Some(&repository.head));
    assert_eq!(stage_names(created(&plan)[0]).len(), 3);
}

fn of_pull_request(definition: &Value, fork: bool) -> Observed {
    let mut seen = with_definition(Some(&sha('b')), definition);
    let trigger = json!({"kind": "PullRequest", "actor": "github:eve", "pullRequest": {"number": 7, "fork": fork}});
    seen.spec.trigger = serde_json::from_value(trigger).unwrap();
    seen.spec.git_ref = "refs/pull/7/head".into();
    seen
}

#[test]
fn a_pull_request_follows_the_definition_of_the_branch() {
    let repository = Repository::with(TEXT);
    for (from, fork) in [
        ("DefaultBranch", false),
        ("DefaultBranch", true),
        ("Commit", true),
    ] {
        let seen = of_pull_request(&json!({"from": from}), fork);
        let (_, plan, _) = settled(seen, &repository);
        let known = plan.progress.definition.unwrap();
        assert_eq!(known.sha.as_ref(), Some(&repository.head), "{from} {fork}");
        assert_eq!(plan.progress.sha, Some(sha('b')));
    }
    let own = plan(&of_pull_request(&json!({"from": "Commit"}), false), NOW);
    assert_eq!(own.progress.definition.unwrap().sha, Some(sha('b')));
}

#[test]
fn a_file_that_cannot_be_ends_the_run_with_the_place_of_the_mistake() {
    let bad = TEXT.replace("type: Lint", "type: Publish");
    let repository = Repository::with(&bad);
    let seen = with_definition(Some(&repository.head), &json!({}));
    let (_, plan, _) = settled(seen, &repository);
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
    assert_eq!(plan.why.reason, "DefinitionFailed");
    let failure = plan.progress.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Definition);
    let hint = failure.hint.unwrap();
    assert!(
        hint.contains(".slipway/pipeline.yaml, line 2, column 3: stages[0].type"),
        "{hint}"
    );
    assert_eq!(plan.progress.definition.unwrap().text, None);
    assert!(plan.actions.is_empty());
}

#[test]
fn a_server_that_cannot_hand_out_files_fails_the_run_and_one_that_is_down_is_asked_again() {
    let seen = with_definition(Some(&sha('a')), &json!({}));
    let asking = plan(&seen, NOW);
    let answered = |reply| {
        let key = seen.clone();
        let question = crate::pipeline_run::observed::question(
            &asking.progress,
            &key.spec.git_ref,
            &key.pipeline.as_ref().unwrap().spec,
        );
        let mut outcome = Outcome::default();
        outcome.replies.insert(question, reply);
        let mut next = seen.clone();
        next.status = status(&seen, &asking, &outcome, NOW);
        next.asked_at = Some(NOW);
        plan(&next, NOW)
    };
    let old = answered(Ok(Reply {
        status: 200,
        body: Vec::new(),
    }));
    assert_eq!(old.progress.failure.unwrap().kind, FailureKind::Clone);
    let down = answered(Err("connection refused".into()));
    assert_eq!(down.why.reason, "SourceUnavailable");
    assert_eq!(down.wake, Some(NOW + ASK_AGAIN));
}
