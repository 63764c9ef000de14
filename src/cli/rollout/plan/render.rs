//! What a change goes through, as people and as programs read it. No I/O.

use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::model::span::span;
use crate::rollout::simulation::{Event, Row, Simulation};

/// Rows in which one step moves pods; of more than these only some are shown.
const MAX_MOVES: usize = 12;
/// How many of them are shown at the beginning and at the end.
const SHOWN: (usize, usize) = (5, 3);

/// For people.
pub(super) fn table(simulations: &[Simulation], palette: Palette) -> String {
    let texts: Vec<String> = simulations.iter().map(|of| one(of, palette)).collect();
    texts.join("\n")
}

fn one(simulation: &Simulation, palette: Palette) -> String {
    let mut lines = vec![palette.paint(Tone::Strong, &title(simulation))];
    lines.extend(risk(simulation));
    lines.extend(template(simulation));
    lines.extend(held_for(simulation));
    lines.push(String::new());
    lines.extend(rows(simulation, palette));
    lines.push(String::new());
    lines.push(summary(simulation));
    lines.join("\n") + "\n"
}

fn title(simulation: &Simulation) -> String {
    let Simulation {
        namespace,
        name,
        strategy,
        replicas,
        ..
    } = simulation;
    let slash = if namespace.is_empty() { "" } else { "/" };
    let weights = weights(simulation);
    let pods = if *replicas == 1 { "pod" } else { "pods" };
    format!("Rollout {namespace}{slash}{name}: {strategy}, {replicas} {pods}, {weights}")
}

/// What weights are made of.
fn weights(simulation: &Simulation) -> String {
    let divided_by = &simulation.divided_by;
    if !divided_by.is_empty() {
        return format!("weights by {}", divided_by.join(" and "));
    }
    let words = if simulation.is_routed {
        "the stable Service is switched"
    } else {
        "weights are ratios of pods"
    };
    words.to_owned()
}

/// What is assumed of the change.
fn risk(simulation: &Simulation) -> Option<String> {
    let (level, shape) = (simulation.risk?, simulation.shape?);
    Some(format!(
        "  risk {level} is assumed, so it is a {shape} (--risk assumes another; the operator assesses a change when it begins)"
    ))
}

/// What does not take the change back by itself.
fn held_for(simulation: &Simulation) -> Option<String> {
    let reasons: Vec<&str> = simulation
        .held_for
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    (!reasons.is_empty()).then(|| {
        let reasons = reasons.join(", ");
        format!("  held for people instead of taken back: {reasons}")
    })
}

/// What the template gets that does not stand in it.
fn template(simulation: &Simulation) -> Vec<String> {
    let mut lines = Vec::new();
    match &simulation.injected {
        Some(injected) => lines.push(format!(
            "  injected: a preStop sleep of {}s into {}, and terminationGracePeriodSeconds: {}",
            injected.pre_stop_sleep_seconds,
            injected.containers.join(", "),
            injected.termination_grace_period_seconds
        )),
        None => lines.push("  injected: nothing".to_owned()),
    }
    let images = simulation.release_images.iter();
    let images: Vec<String> = images
        .map(|(container, image)| format!("{image} into {container}"))
        .collect();
    if !images.is_empty() {
        lines.push(format!("  images of a Release: {}", images.join(", ")));
    }
    lines
}

fn rows(simulation: &Simulation, palette: Palette) -> Vec<String> {
    let headings = [
        "ELAPSED", "STEP", "WHAT", "UNTIL", "STABLE", "CANARY", "WEIGHT",
    ];
    let mut table = Table::new(&headings, &[4, 5, 6]);
    let is_alike = |a: &Row, b: &Row| a.event == b.event && a.step == b.step;
    for run in simulation.rows.chunk_by(is_alike) {
        let (first, last) = SHOWN;
        if run.len() <= MAX_MOVES {
            table.rows(run.iter().map(cells));
            continue;
        }
        table.rows(run.iter().take(first).map(cells));
        let left = run.len() - first - last;
        let text = Cell::new(Tone::Faint, format!("… {left} more like these"));
        table.row([Cell::default(), Cell::default(), text]);
        table.rows(run.iter().skip(first + left).map(cells));
    }
    table.lines(palette)
}

fn cells(row: &Row) -> [Cell; 7] {
    let tone = match row.event {
        Event::Begins | Event::Moves => Tone::Plain,
        Event::Waits if row.until.is_none() => Tone::Warn,
        Event::Waits => Tone::Faint,
        Event::Happens => Tone::Strong,
        Event::GivenUp => Tone::Bad,
        Event::Promoted | Event::Ends => Tone::Good,
    };
    let step = match (row.step, row.of) {
        (Some(step), Some(of)) => format!("{step}/{of}"),
        _ => "–".to_owned(),
    };
    let until = row.until.filter(|until| *until > row.elapsed);
    let until = until.map(span).unwrap_or_default();
    [
        span(row.elapsed).into(),
        step.into(),
        Cell::new(tone, row.what.clone()),
        until.into(),
        row.stable_pods.to_string().into(),
        row.canary_pods.to_string().into(),
        row.weight.to_string().into(),
    ]
}

fn summary(simulation: &Simulation) -> String {
    let people = simulation
        .rows
        .iter()
        .filter(|row| row.event == Event::Waits && row.until.is_none())
        .count();
    let mut others = vec!["pods".to_owned()];
    let is_divided = !simulation.divided_by.is_empty();
    others.extend(is_divided.then(|| "data plane".to_owned()));
    others.extend(simulation.has_hooks.then(|| "hooks".to_owned()));
    others.extend(match people {
        0 => None,
        1 => Some("people (one wait)".to_owned()),
        count => Some(format!("people ({count} waits)")),
    });
    let last = others.pop().unwrap_or_default();
    let others = if others.is_empty() {
        last
    } else {
        format!("{} and {last}", others.join(", "))
    };
    let took = span(simulation.took);
    let most = simulation.most_pods;
    format!(
        "  At most {most} pods at once, besides those that end. It takes {took}, and as long as {others} take."
    )
}

#[cfg(test)]
mod tests;
