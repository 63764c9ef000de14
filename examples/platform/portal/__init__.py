"""Which features are on, for whom."""
