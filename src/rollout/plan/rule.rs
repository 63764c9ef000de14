//! The traffic rules that a planner can be told to forget, so that tests can show what each is for. No I/O.

/// Which rules hold. Outside of tests: all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each rule is a switch of its own"
)]
pub struct Rules {
    /// 1. A revision gets weight only when enough pods of it answer behind its own Service.
    pub ready_before_weight: bool,
    /// 2. Scale down only after the route shows it, the data plane has taken it in and the drain time is over.
    pub drain_before_scale_down: bool,
    /// 3. A revision that a Service still selects is never scaled below its need.
    pub referenced_is_never_scaled_away: bool,
    /// 4. The way back never depends on the health of the bad revision, and outranks everything else.
    pub abort_needs_no_health: bool,
    /// 5. A selector changes only while its Service has no weight, as the data plane knows.
    pub selector_swaps_idle: bool,
    /// 8. Canary pods grow with the weight and leave both sides a pod; the surge budget holds.
    pub counts_are_bounded: bool,
    /// 9. Superseded revisions drain too.
    pub superseded_drain: bool,
    /// 10. No data is not success.
    pub no_data_is_not_success: bool,
    /// 11. A restart takes a pod only while enough others serve, and never the last.
    pub restart_leaves_enough: bool,
    /// 12. A share takes as many pods as it needs, but for the way back, for which one is enough.
    pub shares_need_their_pods: bool,
    /// 13. Where no router reports what the data plane knows, that is what was written once the drain time is over.
    pub silence_takes_its_time: bool,
}

impl Rules {
    /// All rules.
    pub const ALL: Self = Self {
        ready_before_weight: true,
        drain_before_scale_down: true,
        referenced_is_never_scaled_away: true,
        abort_needs_no_health: true,
        selector_swaps_idle: true,
        counts_are_bounded: true,
        superseded_drain: true,
        no_data_is_not_success: true,
        restart_leaves_enough: true,
        shares_need_their_pods: true,
        silence_takes_its_time: true,
    };
}
