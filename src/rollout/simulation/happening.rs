//! What happens to a change that is simulated, besides what goes well: Decisions of people, bad samples, pods that crash. No I/O.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::decision::api::DecisionAction;

/// One thing that happens, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// How long after the revision is wanted.
    pub after: Duration,
    /// What happens.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody makes a Decision.
    Decision(DecisionAction),
    /// From then on all samples are bad: of one metric, or of all.
    BadSamples(Option<String>),
    /// From then on all pods of the new revision crash.
    Crash,
}

/// Decisions that make a difference here.
const DECISIONS: [DecisionAction; 8] = [
    DecisionAction::Pause,
    DecisionAction::Resume,
    DecisionAction::Skip,
    DecisionAction::Promote,
    DecisionAction::Abort,
    DecisionAction::Retry,
    DecisionAction::Undo,
    DecisionAction::Reject,
];

impl FromStr for Happening {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (after, what) = text.split_once('=').ok_or("write it as 5m=crash")?;
        let after = after.parse::<kube::core::Duration>().ok();
        let after = after.filter(|after| !after.is_negative());
        let after = after.ok_or("write when as 90s, 5m or 1h30m")?;
        let what = match what.split_once(':') {
            Some(("bad", metric)) if !metric.is_empty() => {
                What::BadSamples(Some(metric.to_owned()))
            }
            Some(_) => return Err(known()),
            None if what == "bad" => What::BadSamples(None),
            None if what == "crash" => What::Crash,
            None => {
                let mut all = DECISIONS.into_iter();
                let found = all.find(|action| action.verb() == what);
                What::Decision(found.ok_or_else(known)?)
            }
        };
        Ok(Self {
            after: after.into(),
            what,
        })
    }
}

fn known() -> String {
    let decisions = DECISIONS.map(DecisionAction::verb).join(", ");
    format!("there are crash, bad, bad:METRIC, {decisions}")
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision(action) => write!(f, "somebody decides {action}"),
            Self::BadSamples(None) => f.write_str("all samples are bad from now on"),
            Self::BadSamples(Some(metric)) => {
                write!(f, "all samples of {metric} are bad from now on")
            }
            Self::Crash => f.write_str("all pods of the canary crash from now on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_written_with_its_time() {
        let of = |text: &str| text.parse::<Happening>();
        let crash = Happening {
            after: Duration::from_mins(5),
            what: What::Crash,
        };
        assert_eq!(of("5m=crash"), Ok(crash));
        let bad = of("90s=bad:rate").unwrap().what;
        assert_eq!(bad, What::BadSamples(Some("rate".to_owned())));
        let pause = of("1m=pause").unwrap().what;
        assert_eq!(pause, What::Decision(DecisionAction::Pause));
        for wrong in ["crash", "soon=crash", "-5m=crash", "5m=flood", "5m=bad:"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
