"""Prices by weight and zone."""

from decimal import Decimal

import pytest

from parcels.tariff import Step, Tariff, TariffError


@pytest.mark.parametrize(
    ("grams", "price"),
    [(1, "3.90"), (1000, "3.90"), (1001, "6.50"), (5000, "6.50"), (31500, "16.90")],
)
def test_a_step_ends_with_its_weight(tariff: Tariff, grams: int, price: str) -> None:
    assert tariff.price("inland", grams) == Decimal(price)


@pytest.mark.parametrize(
    ("zone", "grams", "says"),
    [
        ("moon", 1, "there are abroad, inland"),
        ("inland", 0, "more than 0 g"),
        ("abroad", 2001, "too heavy"),
    ],
)
def test_what_has_no_price_says_why(tariff: Tariff, zone: str, grams: int, says: str) -> None:
    with pytest.raises(TariffError, match=says):
        tariff.price(zone, grams)


@pytest.mark.parametrize("limits", [[], [2, 1], [1, 1]])
def test_weights_go_up(limits: "list[int]") -> None:
    with pytest.raises(TariffError):
        Tariff({"inland": [Step(limit, Decimal(1)) for limit in limits]})
