//! Figures of a benchmark as a picture: bars in groups. No I/O.

use std::fmt::Write as _;

/// Bars in groups, one bar per series in each of them.
#[derive(Debug)]
pub struct Panel {
    /// What is shown, with its unit.
    pub title: String,
    /// The end of the axis.
    pub most: f64,
    /// Groups: a name, and a value per series; nothing is drawn for one that is missing.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 54.0;
/// From the top of a panel to that of the next.
const PANEL: f64 = HEIGHT + 66.0;
/// Told apart by those who see few colours too.
const COLOURS: &[&str] = &["#4477aa", "#ee9944", "#66aa77", "#aa5588"];

/// Draws panels below each other, as SVG.
pub fn draw(title: &str, series: &[&str], panels: &[Panel]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let height = TOP + PANEL * panels.len() as f64;
    let width = LEFT + WIDTH + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, (LEFT, 18.0), "start", title);
    let mut at = LEFT;
    for (name, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        bar(&mut svg, (at, 28.0), (10.0, 10.0), colour);
        text(&mut svg, (at + 14.0, 37.0), "start", name);
        #[expect(clippy::cast_precision_loss, reason = "a short name")]
        let length = name.len() as f64;
        at += 34.0 + 6.2 * length;
    }
    let mut top = TOP;
    for panel in panels {
        draw_panel(&mut svg, panel, top + 22.0);
        top += PANEL;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, panel: &Panel, top: f64) {
    text(svg, (LEFT, top - 18.0), "start", &panel.title);
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let y = top + HEIGHT * (1.0 - share);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>",
            LEFT + WIDTH
        );
        text(
            svg,
            (LEFT - 6.0, y + 4.0),
            "end",
            &format!("{}", panel.most * share),
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let group_width = WIDTH / panel.groups.len().max(1) as f64;
    let mut left = LEFT;
    for (name, values) in &panel.groups {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let width = group_width * 0.8 / values.len().max(1) as f64;
        let mut x = left + group_width * 0.1;
        for (value, colour) in values.iter().zip(COLOURS.iter().cycle()) {
            if let Some(value) = value {
                let height = HEIGHT * (value / panel.most).clamp(0.0, 1.0);
                let shown = height.max(1.0);
                bar(svg, (x, top + HEIGHT - shown), (width - 2.0, shown), colour);
                let label = if *value == 0.0 || *value >= 10.0 {
                    format!("{value:.0}")
                } else {
                    format!("{value:.1}")
                };
                let (middle, above) = (x + width / 2.0 - 1.0, top + HEIGHT - shown - 3.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{middle:.1}\" y=\"{above:.1}\" text-anchor=\"middle\" font-size=\"9\">{label}</text>"
                );
            }
            x += width;
        }
        text(
            svg,
            (left + group_width / 2.0, top + HEIGHT + 16.0),
            "middle",
            name,
        );
        left += group_width;
    }
}

fn bar(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_a_bar() {
        let panel = Panel {
            title: "aborted, %".into(),
            most: 100.0,
            groups: vec![
                ("a < b".into(), vec![Some(50.0), None]),
                ("c".into(), vec![Some(0.0), Some(100.0)]),
            ],
        };
        let svg = draw("title", &["one", "two"], &[panel]);
        // Background, two of the legend, three values.
        assert_eq!(svg.matches("<rect").count(), 6);
        assert!(svg.contains("a &lt; b") && svg.contains(">50</text>"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
