use super::*;

fn converted(text: &str) -> Converted {
    let workflow: Value = serde_saphyr::from_str(text).unwrap();
    let wanted = Wanted {
        name: None,
        url: "https://git.example/shop/api.git",
        image: "registry.example/ci/ubuntu:24.04",
    };
    convert(&workflow, wanted).unwrap()
}

/// What there is most often.
const WHOLE: &str = r#"
name: CI & Delivery
on:
  push: {branches: [main, "release/**"]}
  pull_request: {}
  schedule: [{cron: "0 2 * * *"}]
permissions: {contents: read}
env: {PYTHONUNBUFFERED: 1, TOKEN: "${{ secrets.INDEX_TOKEN }}"}
jobs:
  lint:
    runs-on: ubuntu-latest
    steps:
    - uses: actions/checkout@v4
    - uses: actions/setup-python@v5
      with: {python-version: "3.12"}
    - run: pip install flake8
    - run: flake8 src
      working-directory: services/api
  test:
    needs: lint
    runs-on: ${{ matrix.os }}
    timeout-minutes: 20
    strategy:
      fail-fast: false
      matrix:
        os: [ubuntu-latest, windows-latest]
        python-version: ["3.11", "3.13"]
    services:
      postgres:
        image: postgres:17
        env: {POSTGRES_PASSWORD: x}
        ports: ["5432:5432"]
        options: --health-cmd pg_isready
    steps:
    - uses: actions/checkout@v4
      with: {fetch-depth: 0}
    - uses: actions/setup-python@v5
      with: {python-version: "${{ matrix.python-version }}"}
    - uses: actions/cache@v4
      with: {path: ~/.cache/pip, key: pip}
    - run: |
        pip install -r requirements.txt
        pytest --token "${{ secrets.API_KEY }}" --commit ${{ github.sha }}
    - run: echo "${{ github.event.pull_request.title }}"
    - uses: codecov/codecov-action@v4
  mac:
    runs-on: macos-14
    steps: [{run: make}]
  image:
    needs: [test, mac]
    if: github.ref == 'refs/heads/main' && github.event_name == 'push'
    runs-on: ubuntu-latest
    steps:
    - uses: docker/login-action@v3
    - uses: docker/build-push-action@v6
      with: {context: ./services/api, platforms: "linux/amd64,linux/arm64", push: true, tags: "registry.example/shop/api:latest"}
  tell:
    needs: image
    if: always()
    runs-on: ubuntu-latest
    steps: [{run: ./tell.sh}]
"#;

#[test]
fn a_workflow_becomes_a_pipeline_and_what_was_left_out_is_told() {
    insta::assert_snapshot!(converted(WHOLE).text());
}

#[test]
fn what_was_converted_can_be_run() {
    let converted = converted(WHOLE);
    let repairs: Vec<&String> = converted
        .report
        .iter()
        .filter(|line| line.starts_with("to be repaired"))
        .collect();
    assert!(repairs.is_empty(), "{repairs:?}");
    let spec: PipelineSpec = serde_json::from_value(converted.pipeline["spec"].clone()).unwrap();
    assert_eq!(spec.stages.len(), 4);
}

#[test]
fn a_condition_that_is_not_understood_keeps_the_stage_from_running() {
    let converted = converted("jobs: {a: {if: \"failure() && x\", steps: [{run: make}]}}");
    assert_eq!(converted.pipeline["spec"]["stages"][0]["when"], "false");
    assert!(
        converted
            .report
            .iter()
            .any(|line| line.contains("until then the stage does not run"))
    );
}

#[test]
fn nothing_from_a_title_gets_into_a_script() {
    let text = "jobs: {a: {steps: [{run: 'echo ${{ github.head_ref }}'}, {run: make}]}}";
    let script = converted(text).pipeline["spec"]["stages"][0]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(script, "# step 1 was left out\nmake\n");
}

#[test]
fn what_is_no_workflow_is_told() {
    let wanted = Wanted {
        name: None,
        url: "https://git.example/a.git",
        image: "i",
    };
    for (text, says) in [
        ("a: 1", "it has no jobs"),
        ("jobs: {}", "no job of it can be a stage"),
    ] {
        let workflow: Value = serde_saphyr::from_str(text).unwrap();
        assert!(convert(&workflow, wanted).unwrap_err().contains(says));
    }
}
