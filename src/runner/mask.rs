//! Keeps secrets out of what a container says: its log as it comes, and its report. Reads the environment and files.
//!
//! A value is found as it is, and as it stands in URLs, in JSON, in XML and in base64; of a value with several lines, each line.
//! What is printed in another form, such as one letter per line, gets through: a mask keeps accidents away, not people
//! who are out for it.

use std::fs;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::task::SecretSource;
use crate::model::access::percent_encoded;

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";
/// Shortest value that can be taken out: a shorter one stands in many texts by chance.
const SHORTEST: usize = 6;
/// Shortest line of a value with several lines that is taken out: they have words in them that are no secrets.
const SHORTEST_LINE: usize = 8;

/// What must not be said. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Mask(Option<Arc<Patterns>>);

#[derive(Debug)]
struct Patterns {
    finder: AhoCorasick,
    /// All of them, none with a line break in it.
    all: Vec<Vec<u8>>,
    longest: usize,
}

impl Mask {
    /// Reads the values of secrets.
    ///
    /// # Errors
    /// Says which one cannot be read, or kept out of texts, and what to do. The value is not shown.
    pub fn read(sources: &[SecretSource]) -> Result<Self, String> {
        let mut values = Vec::new();
        for source in sources {
            let (name, value) = match source {
                SecretSource::Variable(name) => {
                    let value =
                        std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec);
                    (name, value)
                }
                SecretSource::File(path) => (path, fs::read(path).ok()),
            };
            let value = value.ok_or_else(|| format!("secret {name} is not there"))?;
            if value.trim_ascii().len() < SHORTEST {
                return Err(format!(
                    "secret {name} has fewer than {SHORTEST} characters: too few to keep it out of the log; make it longer, \
                     or give it as value if it is none"
                ));
            }
            values.push(value);
        }
        Self::of(&values)
    }

    /// Keeps these values out.
    ///
    /// # Errors
    /// They are too large to be looked for.
    pub fn of(values: &[Vec<u8>]) -> Result<Self, String> {
        let mut all: Vec<Vec<u8>> = values.iter().flat_map(|value| writings(value)).collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            return Ok(Self(None));
        }
        let finder = AhoCorasick::builder()
            // A writing may have another one in it.
            .match_kind(MatchKind::LeftmostLongest)
            .build(&all)
            .map_err(|error| format!("the secrets cannot be kept out of the log: {error}"))?;
        let longest = all.iter().map(Vec::len).max().unwrap_or_default();
        let patterns = Patterns {
            finder,
            all,
            longest,
        };
        Ok(Self(Some(Arc::new(patterns))))
    }

    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        match &self.0 {
            Some(patterns) => {
                let with = vec![REDACTED; patterns.all.len()];
                patterns.finder.replace_all(text, &with)
            }
            None => text.to_owned(),
        }
    }

    /// A report without secrets, whatever its fields are. One that cannot be told without them is empty.
    pub fn report<T: Serialize + DeserializeOwned + Default>(&self, report: T) -> T {
        if self.0.is_none() {
            return report;
        }
        let mut value = serde_json::to_value(report).unwrap_or_default();
        self.walk(&mut value);
        serde_json::from_value(value).unwrap_or_default()
    }

    fn walk(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.walk(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.walk(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// For a log that comes in parts.
    pub fn stream(&self) -> Stream {
        Stream {
            mask: self.clone(),
            held: Vec::new(),
        }
    }
}

/// How a value may be written. None of it has a line break: what comes in lines can be passed on in lines.
fn writings(value: &[u8]) -> Vec<Vec<u8>> {
    let value = value.trim_ascii();
    let text = String::from_utf8_lossy(value);
    let json = Value::from(text.as_ref()).to_string();
    let json = json.trim_matches('"').to_owned();
    let whole = [
        percent_encoded(&text),
        json,
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
    ];
    let lines: Vec<&[u8]> = value
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .collect();
    let shortest = if lines.len() > 1 {
        SHORTEST_LINE
    } else {
        SHORTEST
    };
    let lines = lines.into_iter().filter(|line| line.len() >= shortest);
    let whole = whole
        .into_iter()
        .filter(|text| text.len() >= SHORTEST)
        .map(String::into_bytes);
    whole.chain(lines.flat_map(as_in_documents)).collect()
}

/// A line as it is, and as it stands in XML, of which there are several ways, and in JSON that is to be safe in HTML.
fn as_in_documents(line: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(line);
    let least = text.replace('&', "&amp;").replace('<', "&lt;");
    let tags = least.replace('>', "&gt;");
    let all = tags.replace('"', "&quot;");
    let json = Value::from(text.as_ref()).to_string();
    let json = json.trim_matches('"').replace('&', "\\u0026");
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e");
    let apostrophes = ["&apos;", "&#39;", "&#x27;"].map(|written| all.replace('\'', written));
    let written = [least.replace('"', "&quot;"), least, tags, all, json];
    let written = written
        .into_iter()
        .chain(apostrophes)
        .map(String::into_bytes);
    std::iter::once(line.to_vec()).chain(written).collect()
}

/// A log that comes in parts. What may be the beginning of a secret is held back until more is known.
#[derive(Debug)]
pub struct Stream {
    mask: Mask,
    held: Vec<u8>,
}

impl Stream {
    /// Takes in a part; what can be said by now.
    pub fn push(&mut self, part: &[u8]) -> Vec<u8> {
        let Some(patterns) = self.mask.0.clone() else {
            return part.to_vec();
        };
        self.held.extend_from_slice(part);
        let open = patterns.open_from(&self.held);
        self.say(&patterns, open)
    }

    /// The rest, at the end.
    pub fn rest(&mut self) -> Vec<u8> {
        match self.mask.0.clone() {
            Some(patterns) => self.say(&patterns, self.held.len()),
            None => Vec::new(),
        }
    }

    /// Says what is before `open`, and a secret that begins there as a whole.
    fn say(&mut self, patterns: &Patterns, open: usize) -> Vec<u8> {
        let mut said = Vec::with_capacity(open);
        let mut from = 0;
        for found in patterns.finder.find_iter(&self.held) {
            if found.start() >= open {
                break;
            }
            said.extend_from_slice(self.held.get(from..found.start()).unwrap_or_default());
            said.extend_from_slice(REDACTED.as_bytes());
            from = found.end();
        }
        let to = open.max(from);
        said.extend_from_slice(self.held.get(from..to).unwrap_or_default());
        self.held.drain(..to.min(self.held.len()));
        said
    }
}

impl Patterns {
    /// Where the first secret begins that the text may go on with.
    fn open_from(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest);
        let may_go_on = |start: &usize| {
            let rest = text.get(*start..).unwrap_or_default();
            self.all
                .iter()
                .any(|pattern| pattern.len() > rest.len() && pattern.starts_with(rest))
        };
        (first..text.len()).find(may_go_on).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::StageReport;
    use super::*;
    use crate::pipeline_run::api::FailedTest;

    fn mask(values: &[&str]) -> Mask {
        let values: Vec<Vec<u8>> = values
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect();
        Mask::of(&values).unwrap()
    }

    fn streamed(mask: &Mask, parts: &[&[u8]]) -> String {
        let mut stream = mask.stream();
        let mut said: Vec<u8> = parts.iter().flat_map(|part| stream.push(part)).collect();
        said.extend(stream.rest());
        String::from_utf8_lossy(&said).into_owned()
    }

    #[test]
    fn a_secret_is_found_in_every_writing() {
        let mask = mask(&["top \"secret\"+1"]);
        for writing in [
            "top \"secret\"+1",
            "top%20%22secret%22%2B1",
            "top \\\"secret\\\"+1",
            "dG9wICJzZWNyZXQiKzE",
        ] {
            assert_eq!(
                mask.text(&format!("<{writing}>")),
                "<[redacted]>",
                "{writing}"
            );
        }
    }

    #[test]
    fn a_secret_is_found_in_documents() {
        let mask = mask(&["p&ss<w'rd\">1"]);
        for writing in [
            "p&amp;ss&lt;w'rd\">1",
            "p&amp;ss&lt;w'rd&quot;&gt;1",
            "p&amp;ss&lt;w&apos;rd&quot;&gt;1",
            "p&amp;ss&lt;w&#39;rd&quot;&gt;1",
            "p\\u0026ss\\u003cw'rd\\\"\\u003e1",
        ] {
            assert_eq!(mask.text(writing), "[redacted]", "{writing}");
        }
    }

    #[test]
    fn each_line_of_a_key_is_a_secret() {
        let mask =
            mask(&["-----BEGIN KEY-----\nAbCdEfGhIjKl\nx\nMnOpQrStUvWx\n-----END KEY-----\n"]);
        let said = mask.text("found MnOpQrStUvWx in x");
        assert_eq!(said, "found [redacted] in x");
    }

    #[test]
    fn a_secret_in_two_parts_is_found_and_nothing_else_is_held_back() {
        let mask = mask(&["secret-1", "secret-12345"]);
        let mut stream = mask.stream();
        assert_eq!(stream.push(b"working...\n"), b"working...\n");
        assert_eq!(stream.push(b"token: sec"), b"token: ");
        assert_eq!(
            stream.push(b"ret-1"),
            b"",
            "which may become the longer one"
        );
        assert_eq!(stream.push(b"234"), b"");
        assert_eq!(stream.push(b"5 done"), b"[redacted] done");
        assert_eq!(stream.push(b"secret-1x"), b"[redacted]x");
        assert_eq!(stream.push(b" sec"), b" ");
        assert_eq!(stream.rest(), b"sec", "which was none");
    }

    #[test]
    fn a_report_is_masked_in_all_its_texts() {
        let mask = mask(&["word-2"]);
        let report = StageReport {
            message: Some("word-2".into()),
            failed_tests: vec![FailedTest {
                name: "login[word-2]".into(),
                message: Some("got word-2".into()),
            }],
            log_tail: "user word-2".into(),
            ..StageReport::default()
        };
        let text = serde_json::to_string(&mask.report(report)).unwrap();
        assert!(!text.contains("word-2"), "{text}");
    }

    #[test]
    fn what_is_too_short_to_be_kept_out_is_refused() {
        let folder = std::env::temp_dir().join(format!("slipway-mask-{}", std::process::id()));
        fs::write(&folder, "tiny\n").unwrap();
        let path = folder.display().to_string();
        let refused = Mask::read(&[SecretSource::File(path.clone())]).unwrap_err();
        assert!(
            refused.contains("fewer than 6") && !refused.contains("tiny"),
            "{refused}"
        );
        fs::write(&folder, "long enough\n").unwrap();
        let mask = Mask::read(&[SecretSource::File(path)]).unwrap();
        assert_eq!(mask.text("a long enough b"), "a [redacted] b");
        fs::remove_file(&folder).unwrap();
        let gone = Mask::read(&[SecretSource::Variable("SLIPWAY_NO_SUCH_VARIABLE".into())]);
        assert!(gone.unwrap_err().contains("not there"));
    }

    proptest! {
        /// However a log is cut into parts, what comes out is the same, and no secret is in it.
        #[test]
        fn parts_make_no_difference(
            text in "(abcdefg|abcdef|cdefgh|a|b|c|\n| ){0,60}",
            cuts in proptest::collection::vec(1usize..12, 0..60),
        ) {
            let mask = mask(&["abcdefg", "cdefgh"]);
            let whole = streamed(&mask, &[text.as_bytes()]);
            let mut parts = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (part, more) = rest.split_at(cut.min(rest.len()));
                parts.push(part);
                rest = more;
            }
            parts.push(rest);
            prop_assert_eq!(&streamed(&mask, &parts), &whole);
            prop_assert!(!whole.contains("abcdefg"));
        }
    }
}
