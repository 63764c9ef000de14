//! Weights without a router: the split is by numbers of pods. No I/O.

use crate::model::weight::Weight;

/// Pods of the two revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Pods of the stable revision.
    pub stable: i32,
    /// Pods of the canary.
    pub canary: i32,
}

/// The numbers of pods that come closest to `weight`.
///
/// The total is `replicas`, or one more where surge allows it and that comes closer. Ties go to the
/// larger canary of the smaller total. Between 0 and 100 both sides have a pod wherever there are two.
pub fn counts(replicas: i32, weight: Weight, can_surge: bool) -> Counts {
    if weight == Weight::ZERO || replicas <= 0 {
        return Counts {
            stable: replicas.max(0),
            canary: 0,
        };
    }
    if weight == Weight::FULL {
        return Counts {
            stable: 0,
            canary: replicas,
        };
    }
    let percent = i64::from(weight.percent());
    let surge = i32::from(can_surge);
    let both = replicas + surge >= 2;
    let mut best: Option<(f64, Counts)> = None;
    for total in replicas..=replicas + surge {
        let exact = i64::from(total) * percent;
        let floor = i32::try_from(exact / 100).unwrap_or(0);
        let ceil = floor + i32::from(exact % 100 != 0);
        for canary in [ceil, floor] {
            let canary = if both {
                canary.clamp(1, (total - 1).max(1))
            } else {
                canary
            };
            let off =
                (f64::from(canary) / f64::from(total) * 100.0 - f64::from(weight.percent())).abs();
            let stable = total - canary;
            if both && stable < 1 {
                continue;
            }
            // A hair of tolerance, so that equal distances are equal in floating point too.
            if best.is_none_or(|(least, _)| off < least - 1e-9) {
                best = Some((off, Counts { stable, canary }));
            }
        }
    }
    best.map_or(
        Counts {
            stable: replicas,
            canary: 0,
        },
        |(_, counts)| counts,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(replicas: i32, percent: i64, can_surge: bool) -> (i32, i32) {
        let counts = counts(replicas, Weight::new(percent).unwrap(), can_surge);
        (counts.canary, counts.stable)
    }

    #[test]
    fn the_counts_come_as_close_as_they_can() {
        let table = [
            (1, 1, (0, 1), (1, 1)),
            (1, 49, (0, 1), (1, 1)),
            (1, 50, (1, 0), (1, 1)),
            (1, 99, (1, 0), (1, 1)),
            (2, 1, (1, 1), (1, 2)),
            (2, 50, (1, 1), (1, 1)),
            (2, 99, (1, 1), (2, 1)),
            (3, 25, (1, 2), (1, 3)),
            (3, 33, (1, 2), (1, 2)),
            (3, 49, (1, 2), (2, 2)),
            (3, 50, (2, 1), (2, 2)),
            (4, 10, (1, 3), (1, 4)),
            (5, 25, (1, 4), (1, 4)),
            (5, 99, (4, 1), (5, 1)),
            (7, 33, (2, 5), (2, 5)),
            (10, 1, (1, 9), (1, 10)),
            (10, 25, (3, 7), (3, 8)),
            (10, 99, (9, 1), (10, 1)),
            (20, 33, (7, 13), (7, 14)),
        ];
        for (replicas, percent, without, with) in table {
            assert_eq!(
                split(replicas, percent, false),
                without,
                "({replicas}, {percent})"
            );
            assert_eq!(
                split(replicas, percent, true),
                with,
                "({replicas}, {percent}) with surge"
            );
        }
        assert_eq!(split(10, 15, false), (2, 8));
        assert_eq!(split(10, 18, true), (2, 9));
        assert_eq!(split(4, 0, true), (0, 4));
        assert_eq!(split(4, 100, true), (4, 0));
    }

    #[test]
    fn a_tie_at_the_top_still_leaves_both_sides_a_pod() {
        for (replicas, percent) in [(2, 75), (5, 90), (10, 95), (25, 98), (50, 99)] {
            let (canary, stable) = split(replicas, percent, false);
            assert!(
                canary >= 1 && stable >= 1,
                "({replicas}, {percent}): {canary}/{stable}"
            );
        }
    }

    #[test]
    fn more_weight_never_means_fewer_canary_pods() {
        for replicas in 1..60 {
            for can_surge in [false, true] {
                let mut before = 0;
                for percent in 0..=100 {
                    let (canary, stable) = split(replicas, percent, can_surge);
                    assert!(canary >= before, "({replicas}, {percent}, {can_surge})");
                    assert!(canary + stable >= replicas);
                    assert!(canary + stable <= replicas + i32::from(can_surge));
                    if can_surge || replicas >= 2 {
                        let inside = percent == 0 || percent == 100 || (canary >= 1 && stable >= 1);
                        assert!(inside, "({replicas}, {percent}, {can_surge})");
                    }
                    before = canary;
                }
            }
        }
    }
}
