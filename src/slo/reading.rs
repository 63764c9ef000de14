//! What Prometheus answers about an SLO. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::formula::Counts;
use super::query::{OF, name};
use super::window::Window;
use crate::metric::provider::prometheus;
use crate::model::action::Reply;

/// The numbers of an answer, by their names. What is not there is not known, and is not 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading(BTreeMap<String, f64>);

impl Reading {
    /// Reads an answer.
    ///
    /// # Errors
    /// Why it cannot be relied on.
    pub fn read(reply: &Result<Reply, String>) -> Result<Self, String> {
        let answer = prometheus::answer(reply.as_ref().map_err(Clone::clone)?)?;
        let series = answer.pointer("/data/result").and_then(Value::as_array);
        let series = series.ok_or("an answer without a result")?;
        let mut numbers = BTreeMap::new();
        for one in series {
            let name = one
                .pointer(&format!("/metric/{OF}"))
                .and_then(Value::as_str);
            let number = one.pointer("/value/1").and_then(Value::as_str);
            let number = number.and_then(|text| text.parse::<f64>().ok());
            let (Some(name), Some(number)) = (name, number) else {
                return Err("a series without a name or a number".to_owned());
            };
            if !number.is_finite() {
                continue;
            }
            if numbers.insert(name.to_owned(), number).is_some() {
                let why = "errors and total must yield one series each; aggregate them, for example with sum()";
                return Err(why.to_owned());
            }
        }
        Ok(Self(numbers))
    }

    /// A number.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The requests in a window.
    pub fn window(&self, window: Window) -> Option<Counts> {
        self.counts(window.as_str())
    }

    /// The requests over a time.
    pub fn counts(&self, time: &str) -> Option<Counts> {
        Some(Counts {
            errors: self.get(&name("errors", time))?,
            total: self.get(&name("total", time))?,
        })
    }

    /// The requests in a window, of which only those count as failed that did since something began. A time in which nothing
    /// could be counted yet has no failures.
    pub fn since(&self, window: Window) -> Option<Counts> {
        let all = self.window(window)?;
        let since = self.get(&name("since", window.as_str()));
        Some(Counts {
            errors: since.unwrap_or(0.0),
            ..all
        })
    }

    /// With what another answer has on top.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for (name, number) in other.0 {
            self.0.entry(name).or_insert(number);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        Reply { status: 200, body }
    }

    fn vector(series: &[(&str, &str)]) -> Reply {
        let series: Vec<Value> = series
            .iter()
            .map(|(of, number)| json!({"metric": {"of": of}, "value": [1.0, number]}))
            .collect();
        reply(&json!({"status": "success", "data": {"resultType": "vector", "result": series}}))
    }

    #[test]
    fn numbers_have_names_and_what_is_not_there_is_not_known() {
        let answer = vector(&[
            ("errors/5m", "2"),
            ("total/5m", "100"),
            ("total/1h", "900"),
            ("errors/30m", "NaN"),
            ("since/5m", "1"),
        ]);
        let reading = Reading::read(&Ok(answer)).unwrap();
        let counts = |errors| Counts {
            errors,
            total: 100.0,
        };
        assert_eq!(reading.window(Window::M5), Some(counts(2.0)));
        assert_eq!(reading.since(Window::M5), Some(counts(1.0)));
        assert_eq!(reading.window(Window::H1), None);
        assert_eq!(reading.window(Window::M30), None);
    }

    #[test]
    fn what_cannot_be_relied_on_is_an_error() {
        let twice = vector(&[("errors/5m", "2"), ("errors/5m", "3")]);
        assert!(
            Reading::read(&Ok(twice))
                .unwrap_err()
                .contains("one series each")
        );
        let refused = reply(&json!({"status": "error", "error": "parse error"}));
        assert!(
            Reading::read(&Ok(refused))
                .unwrap_err()
                .contains("parse error")
        );
        assert_eq!(Reading::read(&Err("refused".into())), Err("refused".into()));
        let partial = reply(
            &json!({"status": "success", "warnings": ["store down"], "data": {"result": []}}),
        );
        assert!(
            Reading::read(&Ok(partial))
                .unwrap_err()
                .contains("store down")
        );
    }
}
