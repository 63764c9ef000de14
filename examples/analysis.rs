//! `make bench-analysis`: how often comparisons with stable are wrong and how soon they are right, on simulated rollouts, beside what
//! fixed thresholds do on the same traces. It judges by the operator's own code, and prints the tables of `docs/comparison.md`.
#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "counts of runs; the result of a benchmark is its output"
)]

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use slipway::metric::compare::claim::{Claim, Found, Worse};
use slipway::metric::compare::rank::{self, Pair};
use slipway::metric::compare::ratio::{self, Events, Interval};
use slipway::metric::compare::spending;
use testbed::bench::chart::{self, Panel};
use testbed::bench::report::{heading, ratio as goal};
use testbed::bench::traces::{self, Counted, Noise, STEP, Service, USUAL};

/// Simulates rollouts and prints how comparisons with stable and fixed thresholds judge them.
#[derive(Debug, Parser)]
#[command(name = "bench-analysis", version)]
struct Args {
    /// Where the random numbers begin; the same seed gives the same figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated rollouts per line
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// File for the picture, as SVG
    #[arg(long)]
    picture: Option<PathBuf>,
}

/// Looks of a simulated rollout: twenty minutes.
const LOOKS: usize = 80;
/// Looks that a comparison of latencies plans, as without `count`: five minutes.
const PLANNED: u32 = 20;
const CLAIM: Claim = Claim {
    worse: Worse::Higher,
    tolerance: 0.05,
    alpha: 0.01,
};
/// Latencies vary less than errors.
const LATENCY: Noise = Noise {
    common: 0.1,
    own: 0.04,
    height: 2.0,
    ..USUAL
};
/// The usual 99th percentile of the simulated service, in seconds.
const P99: f64 = 0.404;
/// Success ratios that people write down, of one minute, with `failureLimit: 3`.
const RATIOS: [f64; 3] = [0.99, 0.98, 0.95];
/// The same as multiples of the usual 99th percentile.
const MULTIPLES: [f64; 3] = [1.25, 1.5, 2.0];
const FORGIVEN: usize = 3;

/// At which look each of four judges gave up, if at all: the comparison, and three thresholds.
type Aborts = [Option<usize>; 4];

/// What many runs of one line came to.
struct Line {
    name: String,
    runs: Vec<Aborts>,
}

impl Line {
    /// The share of runs that the judge gave up within so many looks.
    fn share(&self, judge: usize, looks: usize) -> f64 {
        let aborts = self
            .runs
            .iter()
            .filter_map(|run| run.get(judge).copied().flatten());
        aborts.filter(|look| *look <= looks).count() as f64 / self.runs.len().max(1) as f64
    }

    /// The time in seconds after which half of the runs were given up; nothing if that many never were.
    fn median(&self, judge: usize) -> Option<f64> {
        let aborts = self
            .runs
            .iter()
            .map(|run| run.get(judge).copied().flatten());
        let mut looks: Vec<usize> = aborts.map(|look| look.unwrap_or(usize::MAX)).collect();
        looks.sort_unstable();
        let middle = looks.get(looks.len() / 2).copied()?;
        (middle != usize::MAX).then_some(middle as f64 * STEP)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    println!(
        "seed {}, {} simulated rollouts per line, a sample every {STEP} s",
        args.seed, args.runs
    );
    let bench = Bench {
        seed: args.seed,
        runs: args.runs,
    };
    let healthy = bench.healthy();
    let errors = bench.errors();
    let latencies = bench.latencies();
    bench.beyond();
    goals(&healthy, &errors, &latencies);
    if let Some(path) = args.picture {
        let svg = picture(&healthy, &errors, &latencies);
        std::fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

struct Bench {
    seed: u64,
    runs: u64,
}

impl Bench {
    /// Runs one line on all processors; figures do not depend on their number.
    fn line(&self, name: &str, run: impl Fn((u64, u64)) -> Aborts + Sync) -> Line {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = self.runs.div_ceil(threads as u64).max(1);
        let starts: Vec<u64> = (0..self.runs)
            .step_by(usize::try_from(share).unwrap_or(1))
            .collect();
        let runs = thread::scope(|scope| {
            let part = |start: u64| {
                let run = &run;
                let end = (start + share).min(self.runs);
                scope.spawn(move || {
                    (start..end)
                        .map(|index| run((self.seed, index)))
                        .collect::<Vec<_>>()
                })
            };
            let parts: Vec<_> = starts.into_iter().map(part).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_default())
                .collect()
        });
        Line {
            name: name.to_owned(),
            runs,
        }
    }

    fn ratio(
        &self,
        name: &str,
        service: Service,
        (factor, noise, claim): (f64, Noise, Claim),
    ) -> Line {
        self.line(name, |seed| {
            let trace = traces::errors(&service, &noise, factor, LOOKS, seed);
            by_errors(&trace, &claim)
        })
    }

    fn latency(
        &self,
        name: &str,
        service: Service,
        (factor, noise, claim): (f64, Noise, Claim),
    ) -> Line {
        let limits = spending::limits(claim.alpha, PLANNED);
        self.line(name, |seed| {
            let trace = traces::latencies(&service, &noise, factor, LOOKS, seed);
            by_latency(&trace, &limits, &claim)
        })
    }

    fn healthy(&self) -> Vec<Line> {
        let service = Service::new;
        let mut lines: Vec<Line> = [
            ("50 + 50 requests/s, 1 % errors", service(50.0, 50.0, 0.01)),
            ("10 + 90, 1 %", service(10.0, 90.0, 0.01)),
            ("5 + 495, 1 %: a canary of 1 %", service(5.0, 495.0, 0.01)),
            ("100 + 1900, 0.1 %", service(100.0, 1900.0, 0.001)),
            ("1000 + 1000, 1 %", service(1000.0, 1000.0, 0.01)),
            ("50 + 50, 10 %", service(50.0, 50.0, 0.1)),
            ("50 + 50, 0.01 %", service(50.0, 50.0, 0.0001)),
            ("2 + 2, 1 %", service(2.0, 2.0, 0.01)),
            ("0.5 + 4.5, 1 %", service(0.5, 4.5, 0.01)),
        ]
        .into_iter()
        .map(|(name, service)| self.ratio(name, service, (1.0, USUAL, CLAIM)))
        .collect();
        let mut ill = service(50.0, 50.0, 0.01);
        ill.incident = Some((20, 10.0));
        lines.push(self.ratio(
            "50 + 50, 1 %, after 5 min 10 % on both",
            ill,
            (1.0, USUAL, CLAIM),
        ));
        table(
            "Healthy canaries: share that is given up within 20 minutes",
            ["comparison", ">= 99 %", ">= 98 %", ">= 95 %"],
            &lines,
            |line, judge| percent(line.share(judge, LOOKS)),
        );
        lines
    }

    fn errors(&self) -> Vec<Line> {
        let line = |factor: f64| {
            let service = Service::new(50.0, 50.0, 0.01);
            self.ratio(
                &format!("{factor} times the errors"),
                service,
                (factor, USUAL, CLAIM),
            )
        };
        let lines: Vec<Line> = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0].map(line).into();
        let columns = ["comparison", ">= 99 %", ">= 98 %", ">= 95 %"];
        table(
            "Canaries with more errors than the 1 % of stable, 50 + 50 requests/s: given up within 2 minutes",
            columns,
            &lines,
            |line, judge| percent(line.share(judge, 8)),
        );
        table(
            "The same within 20 minutes",
            columns,
            &lines,
            |line, judge| percent(line.share(judge, LOOKS)),
        );
        table(
            "The same: seconds until half of them are given up",
            columns,
            &lines,
            |line, judge| seconds(line.median(judge)),
        );
        lines
    }

    fn latencies(&self) -> [Vec<Line>; 2] {
        let service = Service::new;
        let columns = ["comparison", "<= 0.50 s", "<= 0.61 s", "<= 0.81 s"];
        let healthy: Vec<Line> = [
            ("50 + 50 requests/s", service(50.0, 50.0, 0.0)),
            ("10 + 190", service(10.0, 190.0, 0.0)),
            ("5 + 495: a canary of 1 %", service(5.0, 495.0, 0.0)),
            ("500 + 500", service(500.0, 500.0, 0.0)),
            ("2 + 2", service(2.0, 2.0, 0.0)),
        ]
        .into_iter()
        .map(|(name, service)| self.latency(name, service, (1.0, LATENCY, CLAIM)))
        .collect();
        table(
            "Healthy canaries, p99 of latency (usually 0.40 s): share that is given up",
            columns,
            &healthy,
            |line, judge| percent(line.share(judge, LOOKS)),
        );
        let slower = |percent: u32| {
            let factor = 1.0 + f64::from(percent) / 100.0;
            self.latency(
                &format!("+{percent} %"),
                service(50.0, 50.0, 0.0),
                (factor, LATENCY, CLAIM),
            )
        };
        let slow: Vec<Line> = [5, 10, 15, 20, 30, 50, 100].map(slower).into();
        table(
            "Canaries that are slower, 50 + 50 requests/s: share that is given up",
            columns,
            &slow,
            |line, judge| percent(line.share(judge, LOOKS)),
        );
        table(
            "The same: seconds until half of them are given up",
            columns,
            &slow,
            |line, judge| seconds(line.median(judge)),
        );
        [healthy, slow]
    }

    /// What happens where the assumptions do not hold.
    fn beyond(&self) {
        let even = Service::new(50.0, 50.0, 0.01);
        let busy = Service::new(1000.0, 1000.0, 0.01);
        let with = |tolerance| Claim { tolerance, ..CLAIM };
        let restless = Noise {
            own: 0.3,
            own_memory: 0.9,
            ..USUAL
        };
        let shaky = Noise {
            own: 0.15,
            own_memory: 0.9,
            ..LATENCY
        };
        let lines = [
            self.ratio(
                "errors, tolerance 0 %, 50 + 50",
                even,
                (1.0, USUAL, with(0.0)),
            ),
            self.ratio(
                "errors, tolerance 0 %, 1000 + 1000",
                busy,
                (1.0, USUAL, with(0.0)),
            ),
            self.ratio(
                "errors, own noise 30 % for minutes, tolerance 5 %",
                even,
                (1.0, restless, CLAIM),
            ),
            self.ratio("the same, tolerance 50 %", even, (1.0, restless, with(0.5))),
            self.ratio(
                "the same, tolerance 50 %, 1000 + 1000",
                busy,
                (1.0, restless, with(0.5)),
            ),
            self.ratio(
                "the same, tolerance 100 %, 1000 + 1000",
                busy,
                (1.0, restless, with(1.0)),
            ),
            self.latency("p99, tolerance 0 %", even, (1.0, LATENCY, with(0.0))),
            self.latency(
                "p99, own noise 15 % for minutes, tolerance 5 %",
                even,
                (1.0, shaky, CLAIM),
            ),
            self.latency("the same, tolerance 25 %", even, (1.0, shaky, with(0.25))),
        ];
        heading("Beyond the assumptions: healthy canaries that the comparison gives up");
        for line in &lines {
            println!("  {:<52} {:>10}", line.name, percent(line.share(0, LOOKS)));
        }
    }
}

fn by_errors(trace: &[Counted], claim: &Claim) -> Aborts {
    let side = |(bad, all)| Events { bad, all };
    let intervals: Vec<Interval> = trace
        .iter()
        .map(|counted| Interval {
            canary: side(counted.canary),
            stable: side(counted.stable),
        })
        .collect();
    let step = Duration::from_secs_f64(STEP);
    let is_worse = |look: &usize| {
        let so_far = intervals.get(..*look).unwrap_or_default();
        ratio::test(so_far, step, claim).found == Found::Worse
    };
    let compared = (1..=intervals.len()).find(is_worse);
    let of_a_minute = |look: usize| {
        let minute = trace.get(look.saturating_sub(4)..look).unwrap_or_default();
        let sum = |of: fn(&Counted) -> f64| minute.iter().map(of).sum::<f64>();
        1.0 - sum(|counted| counted.canary.0) / sum(|counted| counted.canary.1)
    };
    let [first, second, third] =
        RATIOS.map(|least| threshold(trace.len(), |look| of_a_minute(look) < least));
    [compared, first, second, third]
}

fn by_latency(trace: &[(f64, f64)], limits: &[f64], claim: &Claim) -> Aborts {
    let pair = |(canary, stable): &(f64, f64)| Pair {
        canary: *canary,
        stable: *stable,
    };
    let pairs: Vec<Pair> = trace.iter().map(pair).collect();
    // As the operator does, it ends with the first finding, and with the plan.
    let looks = (1..=limits.len()).map(|look| {
        let so_far = pairs.get(..look).unwrap_or_default();
        (look, rank::test_by(so_far, limits, claim).found)
    });
    let mut looks = looks;
    let settled = looks.find(|(_, found)| *found != Found::Undecided);
    let compared = settled.filter(|(_, found)| *found == Found::Worse);
    let slow = |most: f64| {
        threshold(trace.len(), |look| {
            let latest = look.checked_sub(1).and_then(|index| trace.get(index));
            latest.is_some_and(|(canary, _)| *canary > most)
        })
    };
    let [first, second, third] = MULTIPLES.map(|multiple| slow(P99 * multiple));
    [compared.map(|(look, _)| look), first, second, third]
}

/// The look at which more samples were bad than are forgiven.
fn threshold(looks: usize, is_bad: impl Fn(usize) -> bool) -> Option<usize> {
    let bad = (1..=looks).filter(|look| is_bad(*look));
    let mut bad = bad;
    bad.nth(FORGIVEN)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn seconds(time: Option<f64>) -> String {
    time.map_or("-".to_owned(), |time| format!("{time:.0} s"))
}

fn table(title: &str, columns: [&str; 4], lines: &[Line], cell: impl Fn(&Line, usize) -> String) {
    heading(title);
    let [one, two, three, four] = columns;
    println!("  {:<40} {one:>12} {two:>10} {three:>10} {four:>10}", "");
    for line in lines {
        let [one, two, three, four] = [0, 1, 2, 3].map(|judge| cell(line, judge));
        println!(
            "  {:<40} {one:>12} {two:>10} {three:>10} {four:>10}",
            line.name
        );
    }
}

fn worst(lines: &[Line]) -> f64 {
    lines
        .iter()
        .map(|line| line.share(0, LOOKS))
        .fold(0.0, f64::max)
}

fn goals(healthy: &[Line], errors: &[Line], [calm, slow]: &[Vec<Line>; 2]) {
    heading("Goals");
    goal("false-aborts-by-errors-worst-line", worst(healthy), 0.01);
    goal("false-aborts-by-latency-worst-line", worst(calm), 0.01);
    for line in errors.iter().filter(|line| line.name.starts_with("3 ")) {
        goal(
            "errors-1%-to-3%-missed-in-2-minutes",
            1.0 - line.share(0, 8),
            0.05,
        );
    }
    for line in slow.iter().filter(|line| line.name == "+50 %") {
        goal("p99+50%-missed-in-5-minutes", 1.0 - line.share(0, 20), 0.05);
    }
}

fn picture(healthy: &[Line], errors: &[Line], [calm, slow]: &[Vec<Line>; 2]) -> String {
    let pick =
        |lines: &[Line], part: &str, name: &str, of: &dyn Fn(&Line, usize) -> Option<f64>| {
            let line = lines.iter().find(|line| line.name.starts_with(part));
            let values = line.map(|line| [0, 1, 2, 3].map(|judge| of(line, judge)).to_vec());
            (name.to_owned(), values.unwrap_or_default())
        };
    let aborted = |line: &Line, judge: usize| Some(100.0 * line.share(judge, LOOKS));
    let minutes = |line: &Line, judge: usize| line.median(judge).map(|time| time / 60.0);
    let panels = [
        Panel {
            title: "Errors: canaries given up within 20 minutes, %".into(),
            most: 100.0,
            groups: vec![
                pick(healthy, "50 + 50 requests", "healthy", &aborted),
                pick(healthy, "5 + 495", "healthy, 1 % weight", &aborted),
                pick(healthy, "50 + 50, 1 %, after", "stable as bad", &aborted),
                pick(errors, "1.5 ", "1.5 times", &aborted),
                pick(errors, "2 ", "2 times", &aborted),
                pick(errors, "3 ", "3 times", &aborted),
                pick(errors, "10 ", "10 times", &aborted),
            ],
        },
        Panel {
            title: "Errors: minutes until half of them are given up (no bar: they are not)".into(),
            most: 10.0,
            groups: vec![
                pick(healthy, "50 + 50 requests", "healthy", &minutes),
                pick(errors, "1.5 ", "1.5 times", &minutes),
                pick(errors, "2 ", "2 times", &minutes),
                pick(errors, "3 ", "3 times", &minutes),
                pick(errors, "10 ", "10 times", &minutes),
            ],
        },
        Panel {
            title: "p99 of latency: canaries given up, % (thresholds: 0.50, 0.61 and 0.81 s where 0.40 s are usual)".into(),
            most: 100.0,
            groups: vec![
                pick(calm, "50 + 50", "healthy", &aborted),
                pick(calm, "5 + 495", "healthy, 1 % weight", &aborted),
                pick(slow, "+10 %", "+10 %", &aborted),
                pick(slow, "+20 %", "+20 %", &aborted),
                pick(slow, "+30 %", "+30 %", &aborted),
                pick(slow, "+50 %", "+50 %", &aborted),
                pick(slow, "+100 %", "+100 %", &aborted),
            ],
        },
    ];
    chart::draw(
        "Comparison with stable beside fixed thresholds, on the same simulated rollouts",
        &[
            "comparison",
            "threshold: strict",
            "threshold: middle",
            "threshold: lax",
        ],
        &panels,
    )
}
