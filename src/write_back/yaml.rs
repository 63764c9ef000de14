//! Changes of a text in YAML, at the places that are meant and nowhere else. No I/O.
//!
//! A parser says where things stand; what is written is text. Everything here takes a text and gives a new one: after a change
//! all places are others.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

/// A value and where it stands, in bytes.
#[derive(Clone, Debug)]
pub enum Node {
    /// A text, a number, a flag, or nothing at all.
    Scalar(Scalar),
    /// Keys and values.
    Mapping(Mapping),
    /// A list.
    Sequence(Sequence),
    /// What stands somewhere else.
    Alias(Range<usize>),
}

/// A text, a number, a flag, or nothing at all.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// What it says.
    pub value: String,
    style: ScalarStyle,
    span: Range<usize>,
}

/// Keys and values.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Whether it is written in braces.
    is_flow: bool,
    span: Range<usize>,
    entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    key: Node,
    /// The value.
    pub value: Node,
}

/// A list.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Whether it is written in brackets.
    is_flow: bool,
    span: Range<usize>,
    /// What is in it.
    pub items: Vec<Node>,
}

/// Something that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A text.
    Text(String),
    /// Keys and values.
    Map(Vec<(String, Tree)>),
    /// A list.
    List(Vec<Tree>),
}

impl Mapping {
    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let is_it = |entry: &&Entry| matches!(&entry.key, Node::Scalar(own) if own.value == key);
        self.entries.iter().find(is_it)
    }

    /// What a key says, where that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.value {
            Node::Scalar(scalar) => Some(&scalar.value),
            Node::Mapping(_) | Node::Sequence(_) | Node::Alias(_) => None,
        }
    }
}

impl Scalar {
    /// Whether it says nothing at all.
    pub fn is_null(&self) -> bool {
        let is_nothing = ["", "~", "null", "Null", "NULL"].contains(&self.value.as_str());
        self.style == ScalarStyle::Plain && is_nothing
    }
}

impl Node {
    /// Whether it says nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(scalar) if scalar.is_null())
    }

    fn start(&self) -> usize {
        match self {
            Self::Scalar(scalar) => scalar.span.start,
            Self::Mapping(mapping) if mapping.is_flow => mapping.span.start,
            Self::Mapping(mapping) => {
                let first = mapping.entries.first();
                first.map_or(mapping.span.start, |first| first.key.start())
            }
            Self::Sequence(sequence) => sequence.span.start,
            Self::Alias(span) => span.start,
        }
    }

    /// Where it ends, without what only separates it from what comes next.
    fn end(&self, text: &str) -> usize {
        let end = match self {
            Self::Scalar(scalar) => scalar.span.end,
            Self::Mapping(mapping) if mapping.is_flow => mapping.span.end,
            Self::Mapping(mapping) => return mapping.end(text),
            Self::Sequence(sequence) if sequence.is_flow => sequence.span.end,
            Self::Sequence(sequence) => match sequence.items.last() {
                Some(last) => return last.end(text),
                None => sequence.span.end,
            },
            Self::Alias(span) => span.end,
        };
        trimmed(text, end)
    }
}

impl Mapping {
    fn end(&self, text: &str) -> usize {
        match self.entries.last() {
            Some(last) => last.end(text),
            None => trimmed(text, self.span.end),
        }
    }
}

impl Entry {
    /// Where its colon ends.
    fn colon(&self, text: &str) -> usize {
        let end = self.key.end(text);
        let rest = text.get(end..).unwrap_or_default();
        rest.find(':').map_or(end, |at| end + at + 1)
    }

    fn end(&self, text: &str) -> usize {
        let colon = self.colon(text);
        if let Node::Scalar(nothing) = &self.value
            && is_empty(text, nothing)
        {
            return colon;
        }
        self.value.end(text).max(colon)
    }
}

fn trimmed(text: &str, end: usize) -> usize {
    text.get(..end).map_or(end, |text| text.trim_end().len())
}

/// Reads a text; nothing where there is nothing in it but comments.
///
/// # Errors
/// Says why it is no YAML that can be changed.
pub fn parse(text: &str) -> Result<Option<Node>, String> {
    // However many of them there are: the parser keeps no more than so many for whoever wants to see them.
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader(Parser::new_from_str_with_options(text, options));
    // The beginning of the stream, and of the document.
    reader.next()?;
    let (event, _) = reader.next()?;
    if matches!(event, Event::StreamEnd) {
        return Ok(None);
    }
    let (event, at) = reader.next()?;
    let root = reader.node(event, at)?;
    // The end of the document.
    reader.next()?;
    let (event, _) = reader.next()?;
    if matches!(event, Event::StreamEnd) {
        return Ok(Some(root));
    }
    Err("it has several documents; there may be one".to_owned())
}

struct Reader<I>(I);

impl<'t, I: Iterator<Item = Result<(Event<'t>, Span), ScanError>>> Reader<I> {
    fn next(&mut self) -> Result<(Event<'t>, Range<usize>), String> {
        let next = self.0.next();
        let (event, span) = next
            .ok_or("it ends too soon")?
            .map_err(|error| format!("it is no YAML: {error}"))?;
        let range = span.byte_range().ok_or("its places are not known")?;
        Ok((event, range))
    }

    /// What begins with an event. The parser bounds how deep things nest.
    fn node(&mut self, event: Event<'t>, at: Range<usize>) -> Result<Node, String> {
        if let Event::Scalar(value, style, ..) = event {
            let value = value.into_owned();
            let span = at;
            return Ok(Node::Scalar(Scalar { value, style, span }));
        }
        if let Event::Alias(_) = event {
            return Ok(Node::Alias(at));
        }
        if let Event::SequenceStart(style, ..) = event {
            let mut items = Vec::new();
            loop {
                let (event, next) = self.next()?;
                if matches!(event, Event::SequenceEnd) {
                    let span = at.start..next.end;
                    let is_flow = style == StructureStyle::Flow;
                    return Ok(Node::Sequence(Sequence {
                        is_flow,
                        span,
                        items,
                    }));
                }
                items.push(self.node(event, next)?);
            }
        }
        if let Event::MappingStart(style, ..) = event {
            let mut entries = Vec::new();
            loop {
                let (event, next) = self.next()?;
                if matches!(event, Event::MappingEnd) {
                    let span = at.start..next.end;
                    let is_flow = style == StructureStyle::Flow;
                    return Ok(Node::Mapping(Mapping {
                        is_flow,
                        span,
                        entries,
                    }));
                }
                let key = self.node(event, next)?;
                let (event, next) = self.next()?;
                let value = self.node(event, next)?;
                entries.push(Entry { key, value });
            }
        }
        Err("something of it is not understood".to_owned())
    }
}

/// How lines of a text end.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The text with something else in a place of it.
fn spliced(text: &str, at: Range<usize>, new: &str) -> String {
    let before = text.get(..at.start).unwrap_or_default();
    let after = text.get(at.end..).unwrap_or_default();
    [before, new, after].concat()
}

/// Columns before a place.
fn column(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.chars().count()
}

/// Where the line of a place ends, without what ends it.
fn end_of_line(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let end = rest.find('\n').map_or(text.len(), |end| at + end);
    let line = text.get(at..end).unwrap_or_default();
    if line.ends_with('\r') { end - 1 } else { end }
}

/// Lines as they follow the line of a place; they come without an end.
fn with_lines(text: &str, at: usize, lines: &str) -> String {
    let end = end_of_line(text, at);
    let break_ = line_end(text);
    let is_last = end == text.len();
    let new = if is_last {
        format!("{break_}{lines}{break_}")
    } else {
        format!("{break_}{lines}")
    };
    spliced(text, end..end, &new)
}

/// A text as a scalar: plain, where nobody can take it for anything else.
fn scalar(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/@:-".contains(c);
    let begins = value.starts_with(|c: char| c.is_ascii_alphabetic());
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = words.contains(&value.to_ascii_lowercase().as_str());
    if begins && !is_word && !value.ends_with(':') && value.chars().all(is_plain) {
        return value.to_owned();
    }
    quoted(value)
}

/// JSON's writing of a text is YAML's as well.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

impl Tree {
    /// In lines, each with that indentation; the last without an end.
    fn lines(&self, indent: usize, break_: &str) -> String {
        let space = " ".repeat(indent);
        match self {
            Self::Text(text) => format!("{space}{}", scalar(text)),
            Self::Map(entries) => {
                let lines = entries.iter().map(|(key, value)| {
                    let key = scalar(key);
                    match value {
                        Self::Text(text) => format!("{space}{key}: {}", scalar(text)),
                        Self::Map(_) => {
                            format!("{space}{key}:{break_}{}", value.lines(indent + 2, break_))
                        }
                        Self::List(_) => {
                            format!("{space}{key}:{break_}{}", value.lines(indent, break_))
                        }
                    }
                });
                lines.collect::<Vec<_>>().join(break_)
            }
            Self::List(items) => {
                let lines = items.iter().map(|item| {
                    let item = item.lines(indent + 2, break_);
                    format!("{space}- {}", item.trim_start())
                });
                lines.collect::<Vec<_>>().join(break_)
            }
        }
    }

    /// On one line.
    fn flow(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Map(entries) => {
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, value)| format!("{}: {}", scalar(key), value.flow()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// An entry, as it stands in braces.
    fn flow_entry(key: &str, value: &Self) -> String {
        format!("{}: {}", scalar(key), value.flow())
    }
}

/// A text that has nothing but comments, with this in it.
pub fn with_root(text: &str, tree: &Tree) -> String {
    let break_ = line_end(text);
    let mut new = text.to_owned();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push_str(break_);
    }
    new + &tree.lines(0, break_) + break_
}

/// The text with another value of a key.
///
/// # Errors
/// Says why it cannot be put there.
pub fn with_value(text: &str, entry: &Entry, value: &str) -> Result<String, String> {
    match &entry.value {
        Node::Scalar(old) if old.value == value && !old.is_null() => Ok(text.to_owned()),
        Node::Scalar(old) => match old.style {
            ScalarStyle::Plain if is_empty(text, old) => {
                let at = entry.colon(text);
                Ok(spliced(text, at..at, &format!(" {}", scalar(value))))
            }
            ScalarStyle::Plain => {
                let at = old.span.start..trimmed(text, old.span.end);
                Ok(spliced(text, at, &scalar(value)))
            }
            ScalarStyle::DoubleQuoted => Ok(spliced(text, old.span.clone(), &quoted(value))),
            ScalarStyle::SingleQuoted => {
                let new = format!("'{}'", value.replace('\'', "''"));
                Ok(spliced(text, old.span.clone(), &new))
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                Err("is a text of several lines; write it on one".to_owned())
            }
        },
        Node::Alias(at) => Ok(spliced(text, at.clone(), &scalar(value))),
        Node::Mapping(_) | Node::Sequence(_) => {
            Err("has values of its own; it takes one value".to_owned())
        }
    }
}

/// Whether nothing stands where a scalar is; its place may be that of the colon before it.
fn is_empty(text: &str, scalar: &Scalar) -> bool {
    let written = text.get(scalar.span.clone()).unwrap_or_default().trim();
    written.is_empty() || (scalar.value == "~" && written != "~")
}

/// The text with a key that a mapping does not have.
pub fn with_entry(text: &str, mapping: &Mapping, key: &str, value: &Tree) -> String {
    let end = mapping.end(text);
    if mapping.is_flow {
        let entry = Tree::flow_entry(key, value);
        return match mapping.entries.last() {
            Some(last) => {
                let end = last.end(text);
                spliced(text, end..end, &format!(", {entry}"))
            }
            None => spliced(text, mapping.span.clone(), &format!("{{{entry}}}")),
        };
    }
    let first = mapping.entries.first();
    let start = first.map_or(mapping.span.start, |first| first.key.start());
    let entry = Tree::Map(vec![(key.to_owned(), value.clone())]);
    let lines = entry.lines(column(text, start), line_end(text));
    with_lines(text, end, &lines)
}

/// The text with a value of a key of a mapping that has the key, and says nothing there.
pub fn with_child(text: &str, mapping: &Mapping, entry: &Entry, value: &Tree) -> String {
    let colon = entry.colon(text);
    let end = entry.end(text);
    if mapping.is_flow {
        return spliced(text, colon..end, &format!(" {}", value.flow()));
    }
    let bare = spliced(text, colon..end, "");
    let indent = column(text, entry.key.start());
    let indent = match value {
        Tree::List(_) => indent,
        Tree::Text(_) | Tree::Map(_) => indent + 2,
    };
    with_lines(&bare, colon, &value.lines(indent, line_end(text)))
}

/// The text without a key. A mapping that has nothing else is left as it is.
pub fn without(text: &str, mapping: &Mapping, key: &str) -> String {
    let is_it = |entry: &Entry| matches!(&entry.key, Node::Scalar(own) if own.value == key);
    let Some(index) = mapping.entries.iter().position(is_it) else {
        return text.to_owned();
    };
    let at = |index: usize| mapping.entries.get(index);
    let (Some(entry), next) = (at(index), at(index + 1)) else {
        return text.to_owned();
    };
    let before = index.checked_sub(1).and_then(at);
    let (start, end) = (entry.key.start(), entry.end(text));
    match (before, next) {
        (None, None) => text.to_owned(),
        // The dash of a list, or the brace, may stand before it.
        (None, Some(next)) => spliced(text, start..next.key.start(), ""),
        (Some(before), _) if mapping.is_flow => spliced(text, before.end(text)..end, ""),
        (Some(_), _) => {
            let line = start - column_bytes(text, start);
            let after = end_of_line(text, end);
            let rest = text.get(after..).unwrap_or_default();
            let break_ = line_end(text);
            let after = if rest.starts_with(break_) {
                after + break_.len()
            } else {
                after
            };
            spliced(text, line..after, "")
        }
    }
}

/// Bytes of the line before a place.
fn column_bytes(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default().len()
}

/// The text with one more item in a list.
pub fn with_item(text: &str, sequence: &Sequence, item: &Tree) -> String {
    let Some(last) = sequence.items.last() else {
        return spliced(text, sequence.span.clone(), &format!("[{}]", item.flow()));
    };
    let end = last.end(text);
    if sequence.is_flow {
        return spliced(text, end..end, &format!(", {}", item.flow()));
    }
    let first = sequence
        .items
        .first()
        .map_or(sequence.span.start, Node::start);
    let before = text.get(..first).unwrap_or_default();
    let dash = before.rfind('-').unwrap_or(sequence.span.start);
    let all = Tree::List(vec![item.clone()]);
    with_lines(text, end, &all.lines(column(text, dash), line_end(text)))
}
