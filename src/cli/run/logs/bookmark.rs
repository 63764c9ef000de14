//! Where in a log somebody is, so that another connection goes on there, without a line twice and without one left out. No I/O.
//!
//! Every line comes with the time at which it was said, and a log is asked for from a second on. Lines since then that were heard before
//! come again, in the same order: they are counted. A time is not enough: several lines may have the same, and those of the standard
//! output and of the standard error come a little out of order.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Longest time in front of a line, in bytes, with the space after it.
const STAMP: usize = 40;
/// Seconds by which a line may be older than one before it.
const DISORDER: i64 = 1;

/// What of a log was heard, and the line that is being heard.
#[derive(Debug)]
pub(super) struct Bookmark {
    /// Longest piece of a line that is passed on at once, in bytes.
    longest: usize,
    /// The newest time of a line that was heard.
    newest: Option<Timestamp>,
    /// How many whole lines of each second were heard, of those that may come again.
    heard: BTreeMap<i64, usize>,
    /// When the line was said of which only a part was heard, and how many bytes.
    part: Option<(Timestamp, usize)>,
    here: Connection,
}

/// What this connection has said.
#[derive(Debug, Default)]
struct Connection {
    /// Lines that it is to say and that were heard before.
    known: usize,
    /// The beginning of a line, which may be a time.
    head: Vec<u8>,
    /// The line that is being heard, after its time.
    line: Option<Line>,
    /// When the first line was said that was not heard whole before.
    first_new: Option<Timestamp>,
}

#[derive(Debug)]
struct Line {
    at: Option<Timestamp>,
    /// It was heard before, whole.
    is_known: bool,
    /// Bytes of it that were heard before, and that are still to come again.
    again: usize,
    /// Bytes of it that were heard.
    bytes: usize,
    /// What of it is not passed on yet.
    piece: Vec<u8>,
}

impl Bookmark {
    /// The beginning.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            longest,
            newest: None,
            heard: BTreeMap::new(),
            part: None,
            here: Connection::default(),
        }
    }

    /// Another connection begins: from when on it has to say what there is; all of it, where nothing was heard. A whole second, for
    /// others would be rounded. What the one before has said, and was not passed on, is forgotten.
    pub(super) fn reopen(&mut self) -> Option<Timestamp> {
        self.here = Connection {
            known: self.heard.values().sum(),
            ..Connection::default()
        };
        Timestamp::from_second(self.begins()?).ok()
    }

    /// The first second of which lines may come again.
    fn begins(&self) -> Option<i64> {
        Some(self.newest?.as_second() - DISORDER)
    }

    /// When the first line was said that this connection has brought.
    pub(super) fn first_new(&self) -> Option<Timestamp> {
        self.here.first_new
    }

    /// Takes in what a connection says; what of it is new comes back in pieces, each a line or a part of one.
    pub(super) fn take(&mut self, said: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for part in said.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = part;
            if self.here.line.is_none() {
                let (text, after) = self.begin(part);
                self.go_on(&text, &mut pieces);
                rest = after;
            }
            if self.here.line.is_some() {
                self.go_on(rest, &mut pieces);
            }
        }
        pieces
    }

    /// What is left of a line that nobody ends any more.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        if self.here.line.is_none() && !self.here.head.is_empty() {
            let text = self.start();
            if let Some(line) = &mut self.here.line {
                line.piece = text;
            }
        }
        self.pass()
    }

    /// Looks for the time at the beginning of a line. Returns what was taken for one, and is text; and what comes after it.
    fn begin<'a>(&mut self, part: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
        for (index, byte) in part.iter().enumerate() {
            self.here.head.push(*byte);
            let is_end = matches!(byte, b' ' | b'\n');
            if is_end || self.here.head.len() >= STAMP {
                let text = self.start();
                return (text, part.get(index + 1..).unwrap_or_default());
            }
        }
        (Vec::new(), &[])
    }

    /// A line begins; returns its first bytes, where they are no time. Without one it is none of the container's, but a word of whoever
    /// hands the log out.
    fn start(&mut self) -> Vec<u8> {
        let head = std::mem::take(&mut self.here.head);
        let text = std::str::from_utf8(&head).unwrap_or_default();
        let at: Option<Timestamp> = text.strip_suffix(' ').and_then(|time| time.parse().ok());
        let (mut is_known, mut again) = (false, 0);
        if let Some(at) = at {
            let may_be_known = Some(at) <= self.newest;
            let part = self.part.filter(|(of, _)| *of == at);
            if self.here.known > 0 && may_be_known {
                is_known = true;
            } else {
                self.here.first_new.get_or_insert(at);
                match part {
                    Some((_, bytes)) => again = bytes,
                    None => self.note(at),
                }
            }
        }
        self.here.line = Some(Line {
            at,
            is_known,
            again,
            bytes: again,
            piece: Vec::new(),
        });
        if at.is_some() { Vec::new() } else { head }
    }

    /// A new line begins. Where it is newer than anything that was heard, nothing comes again after it: a log that was cut in the
    /// meantime has fewer lines than were counted.
    fn note(&mut self, at: Timestamp) {
        self.part = None;
        if Some(at) > self.newest {
            self.here.known = 0;
            self.newest = Some(at);
        }
        if let Some(begins) = self.begins() {
            self.heard.retain(|second, _| *second >= begins);
        }
    }

    fn go_on(&mut self, mut rest: &[u8], pieces: &mut Vec<Vec<u8>>) {
        while let Some(line) = &mut self.here.line {
            let room = self.longest.saturating_sub(line.piece.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            line.piece.extend_from_slice(now);
            rest = later;
            let is_whole = line.piece.ends_with(b"\n");
            if !is_whole && line.piece.len() < self.longest {
                return;
            }
            pieces.extend(self.pass());
            if is_whole {
                self.finish();
                return;
            }
        }
    }

    /// What is to be passed on of a line now; it counts as heard.
    fn pass(&mut self) -> Option<Vec<u8>> {
        let line = self.here.line.as_mut()?;
        let piece = std::mem::take(&mut line.piece);
        if line.is_known {
            return None;
        }
        let again = line.again.min(piece.len());
        line.again -= again;
        let piece = piece.get(again..).unwrap_or_default().to_vec();
        line.bytes += piece.len();
        if let Some(at) = line.at {
            self.part = Some((at, line.bytes));
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }

    /// The line is whole.
    fn finish(&mut self) {
        let Some(line) = self.here.line.take() else {
            return;
        };
        if line.is_known {
            self.here.known = self.here.known.saturating_sub(1);
            return;
        }
        let Some(at) = line.at else {
            return;
        };
        self.part = None;
        if Some(at.as_second()) >= self.begins() {
            *self.heard.entry(at.as_second()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    const BEGIN: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(BEGIN.as_millisecond() + millis).unwrap()
    }

    /// A log as kubelets have it: lines with their times, of which those are said that are not older than is asked for.
    fn said(log: &[(i64, &str)], since: Option<Timestamp>) -> String {
        let mut text = String::new();
        for (millis, words) in log {
            let at = at(*millis);
            if since.is_none_or(|since| at >= since) {
                write!(text, "{at:.9} {words}").unwrap();
            }
        }
        text
    }

    fn heard(mark: &mut Bookmark, said: &str) -> Vec<String> {
        let pieces = mark.take(said.as_bytes());
        let texts = pieces.into_iter().map(String::from_utf8);
        texts.map(Result::unwrap).collect()
    }

    #[test]
    fn times_are_taken_off_and_long_lines_come_in_pieces() {
        let mut mark = Bookmark::new(4);
        let log = [(0, "ok\n"), (5, "abcdefghij\n"), (5, "\n"), (9, "end")];
        let mut all = heard(&mut mark, &said(&log, None));
        all.extend(mark.end().map(|end| String::from_utf8(end).unwrap()));
        assert_eq!(all, ["ok\n", "abcd", "efgh", "ij\n", "\n", "end"]);
        let plain = "unable to retrieve container logs\nx\n";
        assert_eq!(heard(&mut Bookmark::new(99), plain).concat(), plain);
    }

    #[test]
    fn lines_that_come_again_are_heard_once() {
        let mut mark = Bookmark::new(99);
        let mut log = vec![(0, "a\n"), (1100, "b\n"), (2000, "c\n"), (2900, "d\n")];
        assert_eq!(heard(&mut mark, &said(&log, None)).len(), 4);
        let since = mark.reopen();
        assert_eq!(since, Some(at(1000)), "whole, and not rounded up");
        log.push((2900, "at the same time\n"));
        log.push((1990, "a little out of order\n"));
        let new = heard(&mut mark, &said(&log, since));
        assert_eq!(new, ["at the same time\n", "a little out of order\n"]);
    }

    #[test]
    fn a_line_that_broke_off_goes_on_where_it_was() {
        let whole = said(&[(0, "hello world\n")], None);
        let broken = &whole[..whole.len() - 5];
        for (longest, first, then) in [
            (4, vec!["hell"], vec!["o wo", "rld\n"]),
            (99, vec![], vec!["hello world\n"]),
        ] {
            let mut mark = Bookmark::new(longest);
            assert_eq!(heard(&mut mark, broken), first, "of {longest}");
            mark.reopen();
            assert_eq!(heard(&mut mark, &whole).concat(), then.concat());
        }
    }

    #[test]
    fn a_log_that_was_cut_meanwhile_loses_nothing_that_is_new() {
        let mut mark = Bookmark::new(99);
        heard(
            &mut mark,
            &said(&[(0, "a\n"), (1, "b\n"), (2, "c\n")], None),
        );
        mark.reopen();
        let rotated = said(&[(2, "c\n"), (3, "d\n"), (4, "e\n")], None);
        assert_eq!(heard(&mut mark, &rotated), ["d\n", "e\n"]);
    }

    proptest! {
        /// However often a connection breaks, and wherever, each byte is heard once.
        #[test]
        fn nothing_is_heard_twice_and_nothing_is_left_out(
            lines in prop::collection::vec((0..700i64, -400..400i64, "[a-z ]{0,12}"), 1..30),
            cuts in prop::collection::vec((0..400usize, 1..60usize), 0..8),
            longest in 1..40usize,
        ) {
            let (mut now, mut log) = (1000, Vec::new());
            for (pause, disorder, words) in &lines {
                now += pause;
                log.push((now + disorder, format!("{words}\n")));
            }
            let log: Vec<(i64, &str)> = log.iter().map(|(at, words)| (*at, words.as_str())).collect();
            let mut mark = Bookmark::new(longest);
            let mut all = String::new();
            for (length, chunk) in cuts.into_iter().chain([(usize::MAX, 17)]) {
                let since = mark.reopen();
                let text = said(&log, since);
                for part in text.as_bytes()[..length.min(text.len())].chunks(chunk) {
                    for piece in mark.take(part) {
                        prop_assert!(piece.len() <= longest);
                        all.push_str(std::str::from_utf8(&piece).unwrap());
                    }
                }
            }
            let wanted: String = log.iter().map(|(_, words)| *words).collect();
            prop_assert_eq!(all, wanted);
        }
    }
}
