//! Waivers: what a gate leaves out, until a day, with somebody who answers for it. No I/O.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::model::glob::matches;
use crate::model::text::truncate;
use crate::pipeline::api::Waiver;
use crate::report::finding::place;

/// Waivers that a verdict shows.
pub const MAX_SHOWN: usize = 8;

/// The waivers of one gate.
#[derive(Clone, Debug)]
pub struct Waivers<'a> {
    holding: Vec<&'a Waiver>,
    over: Vec<&'a Waiver>,
}

impl<'a> Waivers<'a> {
    /// The waivers of a gate, and which of them hold.
    pub fn of(gate: &str, all: &'a [Waiver], now: Timestamp) -> Self {
        let of_gate = all.iter().filter(|waiver| waiver.gate == gate);
        let (holding, over) = of_gate.partition(|waiver| holds(waiver, now));
        Self { holding, over }
    }

    /// The waiver of the whole gate.
    pub fn whole(&self) -> Option<&'a Waiver> {
        let mut holding = self.holding.iter().copied();
        holding.find(|waiver| waiver.id.is_none() && waiver.at.is_none())
    }

    /// What is said of a finding that a waiver leaves out; nothing where none does.
    pub fn find(&self, id: &str, at: &str) -> Option<String> {
        let names = |waiver: &&&Waiver| {
            let by_id = waiver.id.as_deref();
            let by_place = waiver.at.as_deref();
            (by_id.is_some() || by_place.is_some())
                && by_id.is_none_or(|known| known == id)
                && by_place.is_none_or(|glob| matches(glob, place(at)))
        };
        self.holding
            .iter()
            .find(names)
            .map(|waiver| sentence(waiver))
    }

    /// What is said of those that are over.
    pub fn over(&self) -> Option<String> {
        let first = self.over.first()?;
        let what = first.id.as_deref().unwrap_or("the gate");
        Some(format!("the waiver for {what} ended on {}", first.until))
    }
}

/// What a verdict says of a waiver.
pub fn sentence(waiver: &Waiver) -> String {
    let what = waiver.id.as_deref().or(waiver.at.as_deref());
    let what = what.unwrap_or("the whole gate");
    let Waiver {
        until,
        owner,
        reason,
        ..
    } = waiver;
    let sentence = format!("{what} until {until}, by {owner}: {reason}");
    truncate(&sentence, 512).to_owned()
}

/// The day on which a waiver ends; nothing where it is none.
pub fn last_day(waiver: &Waiver) -> Option<Date> {
    waiver.until.parse().ok()
}

/// A waiver counts through its last day, in UTC. One whose day cannot be read never does.
fn holds(waiver: &Waiver, now: Timestamp) -> bool {
    let end = last_day(waiver).and_then(|day| {
        let next = day.checked_add(1.day()).ok()?;
        let midnight = next.to_zoned(TimeZone::UTC).ok()?;
        Some(midnight.timestamp())
    });
    end.is_some_and(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{NOW, waiver};

    #[test]
    fn the_last_day_counts_and_the_next_does_not() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let waiver = waiver("g", "2026-12-01");
        assert!(holds(&waiver, at("2026-12-01T23:59:59Z")));
        assert!(!holds(&waiver, at("2026-12-02T00:00:00Z")));
        assert!(!holds(&super::super::testing::waiver("g", "soon"), NOW));
        assert!(!holds(
            &super::super::testing::waiver("g", "2026-13-01"),
            NOW
        ));
    }

    #[test]
    fn a_waiver_names_a_gate_an_id_and_a_place() {
        let one = Waiver {
            id: Some("E501".into()),
            at: Some("legacy/**".into()),
            ..waiver("lint", "2099-01-01")
        };
        let all = [one];
        let waivers = Waivers::of("lint", &all, NOW);
        assert!(waivers.find("E501", "legacy/a/b.py:12").is_some());
        assert!(waivers.find("E501", "src/b.py:12").is_none());
        assert!(waivers.find("F401", "legacy/a.py:1").is_none());
        assert!(waivers.whole().is_none());
        assert!(
            Waivers::of("other", &all, NOW)
                .find("E501", "legacy/a.py")
                .is_none()
        );
    }

    #[test]
    fn one_that_is_over_says_so() {
        let all = [waiver("lint", "2020-01-01")];
        let waivers = Waivers::of("lint", &all, NOW);
        assert!(waivers.whole().is_none());
        assert_eq!(
            waivers.over().unwrap(),
            "the waiver for the gate ended on 2020-01-01"
        );
    }
}
