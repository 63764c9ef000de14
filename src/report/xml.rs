//! Walks through an XML document, element by element. No I/O.
//!
//! Nothing of the document is kept but the names of the open elements; entities are not expanded.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::ReportError;
use crate::model::text::truncate;

/// Deepest nesting that a report has.
pub const MAX_DEPTH: usize = 64;
/// What is read of an attribute, in bytes.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// One element as it begins.
#[derive(Debug)]
pub struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Its name without the prefix of a namespace.
    pub fn name(&self) -> String {
        self.0.local_name().as_ref().to_owned()
    }

    /// One of its attributes.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        let attributes = attributes.with_checks(false).flatten();
        let mut named = attributes.filter(|known| known.key.local_name().as_ref() == name);
        let raw = named.next()?.value;
        let raw = truncate(&raw, MAX_ATTRIBUTE);
        // An entity that we do not know stays as it is written.
        let text = quick_xml::escape::unescape(raw).map(std::borrow::Cow::into_owned);
        Some(text.unwrap_or_else(|_| raw.to_owned()))
    }

    /// One of its attributes, as a number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.attribute(name)?.trim().parse().ok()
    }
}

/// What takes in the elements of a document, in their order.
pub trait Visit {
    /// What the document is to be, in words.
    const WANTED: &'static str;
    /// Names that its first element may have.
    const ROOTS: &'static [&'static str];

    /// An element begins. `open`: the names of those around it, from the first.
    fn begin(&mut self, open: &[String], element: &Element<'_>);

    /// The element of that name ends. `open`: as at its beginning.
    fn end(&mut self, open: &[String], name: &str) {
        let _ = (open, name);
    }

    /// Text of the innermost open element, in one or several parts.
    fn text(&mut self, text: &str) {
        let _ = text;
    }
}

/// Walks through a document.
///
/// # Errors
/// If it is no whole document of one of the kinds that the visitor wants.
pub fn walk<V: Visit>(xml: &[u8], visitor: &mut V) -> Result<(), ReportError> {
    // A stray byte in the output of a test is no reason to lose its result.
    let xml = super::text_of(xml);
    let mut reader = Reader::from_str(&xml);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<String> = Vec::new();
    let mut has_root = false;
    loop {
        match reader
            .read_event()
            .map_err(|error| broken(error.to_string()))?
        {
            Event::Start(start) => {
                let element = Element(start);
                let name = element.name();
                if !has_root && !V::ROOTS.contains(&name.as_str()) {
                    let found = name.chars().take(64).collect();
                    let wanted = V::WANTED;
                    return Err(ReportError::Other { wanted, found });
                }
                has_root = true;
                if open.len() >= MAX_DEPTH {
                    return Err(ReportError::Deep);
                }
                visitor.begin(&open, &element);
                open.push(name);
            }
            Event::End(_) => {
                let name = open.pop().unwrap_or_default();
                visitor.end(&open, &name);
            }
            Event::Text(text) => visitor.text(&text),
            Event::CData(text) => visitor.text(&text),
            Event::Eof if open.is_empty() && has_root => return Ok(()),
            Event::Eof => return Err(broken("it ends too early".to_owned())),
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

fn broken(problem: String) -> ReportError {
    let format = "XML";
    ReportError::Syntax { format, problem }
}
