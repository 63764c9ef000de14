//! Text for a terminal, tones, tables and spans of time, and for pages. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::span::rough;

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// Read this first.
    Strong,
    /// Less important.
    Faint,
    /// All is well.
    Good,
    /// Somebody is waited for.
    Warn,
    /// Something is wrong.
    Bad,
}

/// Whether tones become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    is_coloured: bool,
}

impl Palette {
    /// With colours or without.
    pub const fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    /// Whether tones become colours.
    pub const fn is_coloured(self) -> bool {
        self.is_coloured
    }

    /// The text in its tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
        };
        if !self.is_coloured || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Bars by their height.
pub const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A share from 0 to 1 as bars of ten, of which as many are filled.
pub fn bar(share: f64) -> String {
    let filled = (share.clamp(0.0, 1.0) * 10.0).round();
    let marks = (1..=10_u8).map(|mark| {
        if f64::from(mark) <= filled {
            '█'
        } else {
            '░'
        }
    });
    marks.collect()
}

/// Numbers as a line of bars, the largest the highest; nothing where there are none.
pub fn sparks(of: &[f64]) -> String {
    let most = of.iter().copied().fold(0.0_f64, f64::max);
    let mark = |number: &f64| {
        let height = if most > 0.0 {
            number.max(0.0) / most * 7.0
        } else {
            0.0
        };
        let mark = (0..7_u8)
            .take_while(|step| f64::from(*step) < height - 0.5)
            .count();
        BARS.get(mark).copied().unwrap_or('▁')
    };
    of.iter().map(mark).collect()
}

/// One cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: plain(&text.into()),
            tone,
        }
    }

    /// What stands above a column.
    pub fn heading(text: &str) -> Self {
        Self::new(Tone::Faint, text)
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Tone::Plain, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Text that does nothing to a terminal, and stays in its line.
pub fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Text that HTML shows as it is, also within an attribute.
pub fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '&' => made.push_str("&amp;"),
            '"' => made.push_str("&quot;"),
            '\'' => made.push_str("&#39;"),
            _ if character.is_control() => made.push(' '),
            _ => made.push(character),
        }
    }
    made
}

/// How long ago something was; nothing where it was not.
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    took(since, None, now)
}

/// How long something took, or has taken so far; nothing where it has not begun.
pub fn took(from: Option<&Time>, to: Option<&Time>, now: Timestamp) -> String {
    let to = to.map_or(now, |Time(to)| *to);
    from.map_or_else(String::new, |Time(from)| between(*from, to))
}

/// A time to come, seen from now; one that is there already is now.
pub fn in_time(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        "now".to_owned()
    } else {
        format!("in {}", between(now, at))
    }
}

/// The span from one time to a later one, in its two largest units.
pub fn between(from: Timestamp, to: Timestamp) -> String {
    let seconds = u64::try_from(to.duration_since(from).as_secs());
    rough(Duration::from_secs(seconds.unwrap_or(0)))
}

/// A table whose columns are as wide as they have to be.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    /// Columns of numbers: they are aligned on the right.
    numbers: Vec<usize>,
}

impl Table {
    /// A table with a heading per column; none when all are empty. `numbers` are the columns that are aligned on the right.
    pub fn new(headings: &[&str], numbers: &[usize]) -> Self {
        let headings = headings.iter().map(|text| Cell::heading(text));
        let first: Vec<Cell> = headings.collect();
        let has_headings = first.iter().any(|cell| !cell.text.is_empty());
        Self {
            rows: has_headings.then_some(first).into_iter().collect(),
            numbers: numbers.to_vec(),
        }
    }

    /// Puts a column in front of the others, its heading first.
    pub fn in_front(&mut self, cells: impl IntoIterator<Item = Cell>) {
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.insert(0, cell);
        }
        for column in &mut self.numbers {
            *column += 1;
        }
    }

    /// Puts columns behind the others, a row of them for each that is there, the headings first.
    pub fn behind<const N: usize>(&mut self, rows: impl IntoIterator<Item = [Cell; N]>) {
        for (row, cells) in self.rows.iter_mut().zip(rows) {
            row.extend(cells);
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds several.
    pub fn rows<const N: usize>(&mut self, rows: impl IntoIterator<Item = [Cell; N]>) {
        for cells in rows {
            self.row(cells);
        }
    }

    /// A row for each fact that there is something to say about: its name and the value.
    pub fn facts<const N: usize>(facts: [(&str, Option<String>); N]) -> Self {
        let mut table = Self::new(&["", ""], &[]);
        table.more_facts(facts);
        table
    }

    /// Adds more of them.
    pub fn more_facts<const N: usize>(&mut self, facts: [(&str, Option<String>); N]) {
        for (name, value) in facts {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.row([Cell::new(Tone::Faint, name), value.into()]);
            }
        }
    }

    /// All of its lines as one text.
    pub fn text(&self, palette: Palette) -> String {
        let lines = self.lines(palette).into_iter();
        lines.map(|line| line + "\n").collect()
    }

    /// The lines, each two columns in from the left.
    pub fn lines(&self, palette: Palette) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(Cell::width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.width());
                let text = palette.paint(cell.tone, &cell.text);
                let is_number = self.numbers.contains(&column);
                let (before, after) = if is_number {
                    (space.as_str(), "")
                } else {
                    ("", space.as_str())
                };
                line.push_str("  ");
                line.push_str(before);
                line.push_str(&text);
                line.push_str(after);
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(&["NAME", "COUNT", ""], &[1]);
        table.row(["é".into(), "1".into(), "x".into()]);
        table.row(["longer".into(), "12345678".into(), Cell::default()]);
        assert_eq!(
            table.lines(Palette::new(false)),
            [
                "  NAME       COUNT",
                "  é              1  x",
                "  longer  12345678",
            ]
        );
    }

    #[test]
    fn what_stands_in_a_page_stays_text() {
        assert_eq!(
            escaped("<a href=\"x\" title='y'>&\u{1b}[1m"),
            "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp; [1m"
        );
    }

    #[test]
    fn what_a_cluster_says_does_nothing_to_a_terminal() {
        let cell = Cell::from("a\u{1b}[2Jb\nc\u{9b}");
        assert_eq!(cell.text(), "a [2Jb c ");
    }

    #[test]
    fn shares_and_numbers_become_bars() {
        assert_eq!(bar(0.62), "██████░░░░");
        assert_eq!(bar(-0.5), "░░░░░░░░░░");
        assert_eq!(bar(1.5), "██████████");
        assert_eq!(sparks(&[0.0, 1.0, 7.0, 3.5]), "▁▂█▄");
        assert_eq!(sparks(&[0.0, 0.0]), "▁▁");
    }

    #[test]
    fn columns_are_put_in_front_and_behind() {
        let mut table = Table::new(&["NAME", "COUNT"], &[1]);
        table.row(["a".into(), "1".into()]);
        table.in_front(["NAMESPACE".into(), "shop".into()]);
        table.behind([["MORE".into()], ["x".into()]]);
        assert_eq!(
            table.lines(Palette::new(false)),
            [
                "  NAMESPACE  NAME  COUNT  MORE",
                "  shop       a         1  x"
            ]
        );
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::new(&["", ""], &[]);
        table.row([Cell::new(Tone::Good, "ok"), "x".into()]);
        table.row(["plain".into(), "y".into()]);
        assert_eq!(
            table.lines(Palette::new(true)),
            ["  \u{1b}[32mok\u{1b}[0m     x", "  plain  y"]
        );
    }
}
