//! What is told when the story ends where it should not: what the objects say, and the operator.

use super::stage::NAMESPACE;
use super::teller::Teller;
use crate::kubectl::Kubectl;
use crate::operator;

/// Tells everything that may help. What cannot be had is left out.
pub(crate) async fn tell(admin: &Kubectl, teller: &Teller) {
    let objects = ["get", "slipway", "--namespace", NAMESPACE, "-o", MESSAGES];
    let pods = ["get", "pods", "--namespace", NAMESPACE, "-o", "wide"];
    let events = [
        "get",
        "events",
        "--namespace",
        NAMESPACE,
        "--field-selector=type=Warning",
        "--sort-by=.lastTimestamp",
        "-o",
        EVENTS,
    ];
    let log = [
        "logs",
        "--namespace",
        operator::NAMESPACE,
        "--selector",
        "app.kubernetes.io/component=operator",
        "--tail=40",
        "--prefix",
    ];
    for (title, args) in [
        ("What the objects say", &objects[..]),
        ("Pods", &pods),
        ("Warnings", &events),
        ("The end of the operator's log", &log),
    ] {
        match admin.run(args, "").await {
            Ok(said) if said.trim().is_empty() => {}
            Ok(said) => teller.text(&format!("\n{title}:\n{}\n", said.trim_end())),
            Err(error) => teller.text(&format!("\n{title}: {error:#}\n")),
        }
    }
}

const MESSAGES: &str =
    "custom-columns=KIND:.kind,NAME:.metadata.name,PHASE:.status.phase,MESSAGE:.status.message";
const EVENTS: &str = "custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message";
