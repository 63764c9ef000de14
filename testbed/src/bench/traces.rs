//! Traces of services that do not exist: what two revisions would have measured, interval by interval, from a seed. No I/O.
//!
//! Rates and latencies are noisy as those of real services are: neighbouring intervals are alike, a part of the noise is
//! common to both revisions and a part is each one's own, there are bursts, and traffic has a daily trend.

use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Gamma, Poisson, StandardNormal};
use rand_pcg::Pcg64;

/// Seconds between two samples.
pub const STEP: f64 = 15.0;

/// How noisy a service is. Deviations are of logarithms: 0.1 is 10 %, about.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Of the rate of requests.
    pub traffic: f64,
    /// Of the ratio of errors or the latency, common to both revisions.
    pub common: f64,
    /// The same, each revision's own.
    pub own: f64,
    /// Correlation of neighbouring intervals of what is common.
    pub common_memory: f64,
    /// The same of what is each revision's own.
    pub own_memory: f64,
    /// Probability that a burst that hits both begins in an interval. It multiplies by up to `height` for one to four intervals.
    pub common_bursts: f64,
    /// The same for each revision by itself, for one or two intervals.
    pub own_bursts: f64,
    /// What a burst multiplies with.
    pub height: f64,
}

/// What is assumed in the published figures.
pub const USUAL: Noise = Noise {
    traffic: 0.2,
    common: 0.4,
    own: 0.1,
    common_memory: 0.9,
    own_memory: 0.7,
    common_bursts: 1.0 / 80.0,
    own_bursts: 1.0 / 480.0,
    height: 3.0,
};

/// A service in the middle of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Requests per second to the canary.
    pub canary: f64,
    /// Requests per second to stable.
    pub stable: f64,
    /// The ratio of errors of stable.
    pub errors: f64,
    /// From which interval on what both depend on is ill, and by how much that multiplies the errors of both.
    pub incident: Option<(usize, f64)>,
}

impl Service {
    /// A service with these requests per second to the canary and to stable, and this ratio of errors.
    pub fn new(canary: f64, stable: f64, errors: f64) -> Self {
        Self {
            canary,
            stable,
            errors,
            incident: None,
        }
    }
}

/// What one interval counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Errors and requests of the canary.
    pub canary: (f64, f64),
    /// Errors and requests of stable.
    pub stable: (f64, f64),
}

/// Noise that remembers: autoregressive of the first order, stationary from the start.
struct Wave {
    value: f64,
    deviation: f64,
    memory: f64,
}

impl Wave {
    fn new(deviation: f64, memory: f64, random: &mut Pcg64) -> Self {
        let value = deviation * normal(random);
        Self {
            value,
            deviation,
            memory,
        }
    }

    fn next(&mut self, random: &mut Pcg64) -> f64 {
        let fresh = self.deviation * (1.0 - self.memory * self.memory).sqrt();
        self.value = self.memory * self.value + fresh * normal(random);
        self.value
    }
}

/// Something that now and then multiplies for a while.
struct Bursts {
    probability: f64,
    height: f64,
    longest: u32,
    left: u32,
}

impl Bursts {
    fn next(&mut self, random: &mut Pcg64) -> f64 {
        if self.left > 0 {
            self.left -= 1;
        } else if random.random::<f64>() < self.probability {
            self.left = random.random_range(1..=self.longest);
        }
        if self.left > 0 { self.height.ln() } else { 0.0 }
    }
}

fn normal(random: &mut Pcg64) -> f64 {
    StandardNormal.sample(random)
}

/// The noise of a service as it goes on: common to both revisions, and of each.
struct Weather {
    /// Where in its day the service is, as an angle, now and when it began.
    day: f64,
    began: f64,
    traffic: Wave,
    common: Wave,
    own: [Wave; 2],
    common_bursts: Bursts,
    own_bursts: [Bursts; 2],
}

impl Weather {
    fn new(noise: &Noise, random: &mut Pcg64) -> Self {
        let bursts = |probability, longest| Bursts {
            probability,
            height: noise.height,
            longest,
            left: 0,
        };
        let began = random.random_range(0.0..std::f64::consts::TAU);
        Self {
            day: began,
            began,
            traffic: Wave::new(noise.traffic, noise.common_memory, random),
            common: Wave::new(noise.common, noise.common_memory, random),
            own: [0, 1].map(|_| Wave::new(noise.own, noise.own_memory, random)),
            common_bursts: bursts(noise.common_bursts, 4),
            own_bursts: [0, 1].map(|_| bursts(noise.own_bursts, 2)),
        }
    }

    /// Factors of this interval: of traffic, and of what is measured on the canary and on stable.
    fn next(&mut self, random: &mut Pcg64) -> (f64, [f64; 2]) {
        self.day += std::f64::consts::TAU * STEP / 86_400.0;
        let daily = 0.5 * (self.day.sin() - self.began.sin());
        let traffic = (daily + self.traffic.next(random)).exp();
        let common = 0.3 * daily + self.common.next(random) + self.common_bursts.next(random);
        let [canary, stable] = &mut self.own;
        let [canary_bursts, stable_bursts] = &mut self.own_bursts;
        let canary = canary.next(random) + canary_bursts.next(random);
        let stable = stable.next(random) + stable_bursts.next(random);
        (traffic, [(common + canary).exp(), (common + stable).exp()])
    }
}

fn seeded(seed: u64, run: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Requests and errors of so many intervals; the canary has `factor` times the errors of stable.
pub fn errors(
    service: &Service,
    noise: &Noise,
    factor: f64,
    intervals: usize,
    (seed, run): (u64, u64),
) -> Vec<Counted> {
    let mut random = seeded(seed, run);
    let mut weather = Weather::new(noise, &mut random);
    let side = |random: &mut Pcg64, rate: f64, errors: f64| {
        let all = Poisson::new(rate * STEP).map_or(0.0, |requests| requests.sample(random));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number that is not negative"
        )]
        let count = all as u64;
        let bad = Binomial::new(count, errors.min(1.0)).map_or(0, |bad| bad.sample(random));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let bad = bad as f64;
        (bad, all)
    };
    let mut one = |index| {
        let (traffic, [canary, stable]) = weather.next(&mut random);
        let incident = service.incident.filter(|(first, _)| index >= *first);
        let errors = service.errors * incident.map_or(1.0, |(_, factor)| factor);
        Counted {
            canary: side(
                &mut random,
                service.canary * traffic,
                errors * factor * canary,
            ),
            stable: side(&mut random, service.stable * traffic, errors * stable),
        }
    };
    (0..intervals).map(&mut one).collect()
}

/// Latencies of requests: log-normal, with this deviation of logarithms and a median of 100 ms.
pub const SPREAD: f64 = 0.6;

/// The quantile of the latency that is measured.
const QUANTILE: f64 = 0.99;

/// That quantile of the latency of so many intervals in seconds, of the canary and of stable; the canary takes `factor` times as long.
pub fn latencies(
    service: &Service,
    noise: &Noise,
    factor: f64,
    intervals: usize,
    (seed, run): (u64, u64),
) -> Vec<(f64, f64)> {
    let mut random = seeded(seed, run);
    let mut weather = Weather::new(noise, &mut random);
    let mut one = |_| {
        let (traffic, [canary, stable]) = weather.next(&mut random);
        let mut side = |rate: f64, factor: f64| {
            let requests = (rate * traffic * STEP).max(1.0).floor();
            0.1 * factor * (SPREAD * quantile_of(requests, QUANTILE, &mut random)).exp()
        };
        (
            side(service.canary, factor * canary),
            side(service.stable, stable),
        )
    };
    (0..intervals).map(&mut one).collect()
}

/// The quantile of so many standard normal variables, drawn at once: the k-th of n uniform ones is a beta variable.
fn quantile_of(count: f64, quantile: f64, random: &mut Pcg64) -> f64 {
    let rank = (count * quantile).ceil().clamp(1.0, count);
    let gamma = |shape: f64, random: &mut Pcg64| {
        Gamma::new(shape, 1.0).map_or(1.0, |gamma| gamma.sample(random))
    };
    let (below, above) = (gamma(rank, random), gamma(count - rank + 1.0, random));
    point_below(below / (below + above))
}

/// The value below which a standard normal variable is with this probability.
fn point_below(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..45 {
        let middle: f64 = f64::midpoint(low, high);
        if libm::erfc(-middle / std::f64::consts::SQRT_2) / 2.0 < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Noise = Noise {
        traffic: 0.0,
        common: 0.0,
        own: 0.0,
        common_bursts: 0.0,
        own_bursts: 0.0,
        ..USUAL
    };

    #[test]
    fn a_seed_is_a_trace() {
        let service = Service::new(50.0, 50.0, 0.01);
        let trace = |run| format!("{:?}", errors(&service, &USUAL, 1.0, 20, (1, run)));
        assert_eq!(trace(3), trace(3));
        assert_ne!(trace(3), trace(4));
    }

    #[test]
    fn rates_are_what_was_asked_for() {
        let service = Service::new(40.0, 200.0, 0.02);
        let (mut canary, mut stable) = (0.0, 0.0);
        for run in 0..200 {
            for counted in errors(&service, &CALM, 3.0, 4, (1, run)) {
                canary += counted.canary.0;
                stable += counted.stable.0;
            }
        }
        let intervals = 800.0 * STEP;
        assert!(
            (canary / (40.0 * 0.06 * intervals) - 1.0).abs() < 0.03,
            "{canary}"
        );
        assert!(
            (stable / (200.0 * 0.02 * intervals) - 1.0).abs() < 0.03,
            "{stable}"
        );
    }

    #[test]
    fn quantiles_are_those_of_log_normal_latencies() {
        let service = Service::new(200.0, 200.0, 0.0);
        let mut sum = 0.0;
        for run in 0..50 {
            for (canary, _) in latencies(&service, &CALM, 2.0, 4, (1, run)) {
                sum += canary;
            }
        }
        let exact = 0.2 * (SPREAD * 2.3263_f64).exp();
        assert!((sum / 200.0 / exact - 1.0).abs() < 0.03, "{sum} {exact}");
        assert!((point_below(0.975) - 1.959_964).abs() < 1e-5);
    }
}
