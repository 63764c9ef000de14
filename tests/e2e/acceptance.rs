//! What `make demo` tells, asserted: three versions on their way to production under load, the last of them a bad one.

use testbed::demo::{self, Production, Teller};
use testbed::operator::{self, Programs};

use crate::cluster::cluster;

async fn played(production: Production) -> demo::Story {
    let programs = Programs {
        operator: env!("CARGO_BIN_EXE_slipway").into(),
        runner: Some(operator::static_runner().await.unwrap()),
    };
    let teller = Teller::out_loud();
    let story = demo::story(&cluster().await.node, &programs, production, &teller).await;
    let story = story.unwrap();
    demo::tell_end(&story, &teller);
    story
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn two_good_versions_reach_production_and_a_bad_one_comes_back() {
    let story = played(Production::Watched).await;
    assert_eq!(story.problems(), Vec::<String>::new());
}
