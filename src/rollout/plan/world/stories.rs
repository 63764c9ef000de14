//! All stories that are told in worlds.

use super::asked::{approved, stable_away, turned_down, undone};
use super::held::{held, held_without_pods};
use super::story::*;
use super::{REPLICAS, lent};

pub(super) const STORIES: &[(&str, Story)] = &[
    ("blue-green", |seed, habits| {
        taken_over(seed, habits, &blue_green())
    }),
    ("blue-green, bad", |seed, habits| {
        sent_back(seed, habits, &blue_green())
    }),
    ("blue-green, overtaken", |seed, habits| {
        overtaken(seed, habits, &blue_green())
    }),
    ("a Service is switched", |seed, habits| {
        taken_over(seed, habits, &switched())
    }),
    ("a Service is switched, bad", |seed, habits| {
        sent_back(seed, habits, &switched())
    }),
    ("a Service is switched, overtaken", |seed, habits| {
        overtaken(seed, habits, &switched())
    }),
    ("a Service of people's", |seed, habits| {
        lent::good(seed, habits, &steps())
    }),
    ("a Service of people's is switched", |seed, habits| {
        lent::good(seed, habits, &switched())
    }),
    ("a Service of people's, bad", lent::bad),
    ("routes and copies", |seed, habits| {
        taken_over(seed, habits, &on_top_of_weight())
    }),
    ("routes and copies, bad", |seed, habits| {
        sent_back(seed, habits, &on_top_of_weight())
    }),
    ("routes and copies, overtaken", |seed, habits| {
        overtaken(seed, habits, &on_top_of_weight())
    }),
    ("rolling", |seed, habits| {
        taken_over_in_place(seed, habits, &rolling())
    }),
    ("rolling, overtaken", |seed, habits| {
        overtaken(seed, habits, &rolling())
    }),
    ("stable with the weight", |seed, habits| {
        taken_over_in_place(seed, habits, &with_weight())
    }),
    ("stable with the weight, bad", |seed, habits| {
        sent_back(seed, habits, &with_weight())
    }),
    ("stable with the weight, overtaken", |seed, habits| {
        overtaken(seed, habits, &with_weight())
    }),
    ("by risk, pod by pod", |seed, habits| {
        taken_over_in_place(seed, habits, &auto("Rolling"))
    }),
    ("by risk, pod by pod, bad", |seed, habits| {
        sent_back(seed, habits, &auto("Rolling"))
    }),
    ("by risk, overtaken", |seed, habits| {
        overtaken(seed, habits, &auto("Rolling"))
    }),
    ("another size", |seed, habits| {
        resized(seed, habits, &strategy(&steps()["strategy"]))
    }),
    ("another size, stable with the weight", |seed, habits| {
        resized(seed, habits, &with_weight())
    }),
    ("another size, blue-green", |seed, habits| {
        resized(seed, habits, &blue_green())
    }),
    ("held", |seed, habits| held(seed, habits, &steps())),
    ("held, blue-green", |seed, habits| {
        held(seed, habits, &blue_green())
    }),
    ("held, a Service is switched", |seed, habits| {
        held(seed, habits, &switched())
    }),
    ("held, stable with the weight", |seed, habits| {
        held(seed, habits, &with_weight())
    }),
    ("held without pods", |seed, habits| {
        held_without_pods(seed, habits, &steps())
    }),
    (
        "held without pods, stable with the weight",
        |seed, habits| held_without_pods(seed, habits, &with_weight()),
    ),
    ("silence", |seed, habits| {
        taken_over(seed, habits, &silent(steps()))
    }),
    ("silence, bad", |seed, habits| {
        sent_back(seed, habits, &silent(steps()))
    }),
    ("silence, overtaken", |seed, habits| {
        overtaken(seed, habits, &silent(steps()))
    }),
    ("silence, blue-green, overtaken", |seed, habits| {
        overtaken(seed, habits, &silent(blue_green()))
    }),
    ("silence, rolling", |seed, habits| {
        taken_over_in_place(seed, habits, &silent(rolling()))
    }),
    ("silence, stable with the weight, bad", |seed, habits| {
        sent_back(seed, habits, &silent(with_weight()))
    }),
    (
        "silence, stable with the weight, overtaken",
        |seed, habits| overtaken(seed, habits, &silent(with_weight())),
    ),
    ("asked", approved),
    ("turned down", |seed, habits| {
        turned_down(seed, habits, &blue_green())
    }),
    ("turned down, a Service is switched", |seed, habits| {
        turned_down(seed, habits, &switched())
    }),
    ("undone by name", |seed, habits| {
        undone(seed, habits, &steps())
    }),
    ("silence, undone by name", |seed, habits| {
        undone(seed, habits, &silent(steps()))
    }),
    ("stable is away", |seed, habits| {
        stable_away(seed, habits, &blue_green())
    }),
    ("stable is away, a Service is switched", |seed, habits| {
        stable_away(seed, habits, &switched())
    }),
    ("kept", kept),
    ("good", good),
    ("bad metric", bad_metric),
    ("no data", no_data),
    ("superseded", superseded),
    ("failing all over", failing_all_over),
    ("flapping", flapping),
    ("restarted", |seed, habits| {
        restarted(seed, habits, REPLICAS)
    }),
    ("restarted, the only pod", |seed, habits| {
        restarted(seed, habits, 1)
    }),
    ("restarted in a pause", restarted_in_a_pause),
];
