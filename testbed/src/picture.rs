//! Traffic over time, as a picture: which share of the answers each revision gave, second by second. No I/O.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::load::{Second, Stats};

/// Size of the plot, in pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
/// Room around it for axes, title and legend.
const LEFT: f64 = 48.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 40.0;
const RIGHT: f64 = 16.0;
/// A colour per revision, in the order of their names; told apart by those who see few colours too.
const COLOURS: &[&str] = &["#4477aa", "#ee9944", "#66aa77", "#aa5588"];
/// Ticks of the time axis at most.
const TICKS: usize = 8;

/// Draws a load, as SVG. Seconds in which nothing was answered are left out.
pub fn draw(title: &str, stats: &Stats, seconds: &[Second]) -> String {
    let seconds: Vec<&Second> = seconds
        .iter()
        .filter(|second| !second.revisions.is_empty())
        .collect();
    let names: BTreeSet<&str> = seconds
        .iter()
        .flat_map(|second| second.revisions.keys().map(String::as_str))
        .collect();
    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let Stats { sent, lost, .. } = stats;
    let caption = format!("{title}: {sent} requests, {lost} lost");
    text(&mut svg, LEFT, 18.0, "start", &caption);
    let mut below = vec![0.0; seconds.len()];
    for ((index, name), colour) in names.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let above: Vec<f64> = below
            .iter()
            .zip(&seconds)
            .map(|(below, second)| below + share(second, name))
            .collect();
        area(&mut svg, &seconds, &below, &above, colour);
        legend(&mut svg, index, name, colour);
        below = above;
    }
    axes(&mut svg, &seconds);
    svg.push_str("</svg>\n");
    svg
}

/// The part of a second's answers that a revision gave.
fn share(second: &Second, name: &str) -> f64 {
    let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let total: u64 = second.revisions.values().sum();
    let own = second.revisions.get(name).copied().unwrap_or(0);
    count(own) / count(total).max(1.0)
}

fn x(seconds: &[&Second], second: u64) -> f64 {
    let first = seconds.first().map_or(0, |second| second.second);
    let last = seconds.last().map_or(1, |second| second.second);
    let at = |second: u64| f64::from(u32::try_from(second - first).unwrap_or(u32::MAX));
    LEFT + WIDTH * at(second) / at(last).max(1.0)
}

fn y(share: f64) -> f64 {
    TOP + HEIGHT * (1.0 - share)
}

fn area(svg: &mut String, seconds: &[&Second], below: &[f64], above: &[f64], colour: &str) {
    let point = |second: &&Second, share: &f64| {
        format!("{:.1},{:.1}", x(seconds, second.second), y(*share))
    };
    let there = seconds
        .iter()
        .zip(above)
        .map(|(second, share)| point(second, share));
    let back = seconds
        .iter()
        .zip(below)
        .rev()
        .map(|(second, share)| point(second, share));
    let points: Vec<String> = there.chain(back).collect();
    let _ = writeln!(
        svg,
        "<polygon points=\"{}\" fill=\"{colour}\"/>",
        points.join(" ")
    );
}

fn legend(svg: &mut String, index: usize, name: &str, colour: &str) {
    let place = f64::from(u32::try_from(index).unwrap_or(0));
    let left = LEFT + 120.0 * place;
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"26\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"
    );
    text(svg, left + 16.0, 35.0, "start", name);
}

fn axes(svg: &mut String, seconds: &[&Second]) {
    for share in [0.0, 0.5, 1.0] {
        let (at, percent) = (y(share), 100.0 * share);
        let right = LEFT + WIDTH;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at}\" x2=\"{right}\" y2=\"{at}\" stroke=\"#888888\" stroke-width=\"0.5\"/>"
        );
        text(svg, LEFT - 6.0, at + 4.0, "end", &format!("{percent} %"));
    }
    let first = seconds.first().map_or(0, |second| second.second);
    let step = seconds.len().div_ceil(TICKS).max(1);
    for second in seconds.iter().step_by(step) {
        let at = x(seconds, second.second);
        let label = format!("{} s", second.second - first);
        text(svg, at, TOP + HEIGHT + 18.0, "middle", &label);
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64, one: u64, two: u64) -> Second {
        let counts = [("1.0.0".to_owned(), one), ("2.0.0".to_owned(), two)];
        Second {
            second,
            revisions: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
            ..Second::default()
        }
    }

    fn drawn(seconds: &[Second]) -> String {
        let stats = Stats {
            sent: 40,
            ..Stats::default()
        };
        draw("canary & co", &stats, seconds)
    }

    #[test]
    fn shares_are_stacked_from_the_bottom_to_the_top() {
        let svg = drawn(&[second(5, 10, 0), second(6, 5, 5), second(7, 0, 10)]);
        // All of version one at first, half of it, and nothing.
        assert!(svg.contains(
            "points=\"48.0,44.0 368.0,124.0 688.0,204.0 688.0,204.0 368.0,204.0 48.0,204.0\""
        ));
        // Version two on top of that.
        assert!(svg.contains(
            "points=\"48.0,44.0 368.0,44.0 688.0,44.0 688.0,204.0 368.0,124.0 48.0,44.0\""
        ));
        assert!(svg.contains("canary &amp; co: 40 requests, 0 lost"));
        assert!(svg.contains(">2 s</text>"));
    }

    #[test]
    fn nothing_to_draw_is_a_picture_too() {
        let svg = drawn(&[second(0, 0, 0)]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
