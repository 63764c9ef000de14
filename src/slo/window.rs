//! The times over which burns are looked at. No I/O.

/// A time over which a burn is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// 5 minutes, the short one of 1 h.
    M5,
    /// 30 minutes, the short one of 6 h.
    M30,
    /// 1 hour.
    H1,
    /// 2 hours, the short one of 1 d.
    H2,
    /// 6 hours, also the short one of 3 d.
    H6,
    /// 1 day.
    D1,
    /// 3 days.
    D3,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 7] = [
        Self::M5,
        Self::M30,
        Self::H1,
        Self::H2,
        Self::H6,
        Self::D1,
        Self::D3,
    ];

    /// As Prometheus, statuses and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M5 => "5m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H2 => "2h",
            Self::H6 => "6h",
            Self::D1 => "1d",
            Self::D3 => "3d",
        }
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::M5 => 300,
            Self::M30 => 1_800,
            Self::H1 => 3_600,
            Self::H2 => 7_200,
            Self::H6 => 21_600,
            Self::D1 => 86_400,
            Self::D3 => 259_200,
        }
    }

    /// The long window of that name, and the short one of the same row: a twelfth of it.
    pub fn row(name: &str) -> Option<(Self, Self)> {
        match name {
            "1h" => Some((Self::H1, Self::M5)),
            "6h" => Some((Self::H6, Self::M30)),
            "1d" => Some((Self::D1, Self::H2)),
            "3d" => Some((Self::D3, Self::H6)),
            _ => None,
        }
    }

    /// Whether it is so long that looking at it again and again costs, and that it changes slowly.
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::D1 | Self::D3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_window_of_a_row_is_a_twelfth_of_the_long_one() {
        for long in ["1h", "6h", "1d", "3d"] {
            let (long, short) = Window::row(long).unwrap();
            assert_eq!(long.seconds(), short.seconds() * 12);
        }
        assert_eq!(Window::row("5m"), None);
    }

    #[test]
    fn windows_are_in_the_order_of_their_lengths() {
        let seconds: Vec<u64> = Window::ALL.iter().map(|window| window.seconds()).collect();
        assert!(seconds.is_sorted());
    }
}
