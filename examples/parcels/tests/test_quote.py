"""Quotes for several parcels."""

from decimal import Decimal

from parcels import Tariff, quote


def test_a_few_parcels_cost_what_each_costs(tariff: Tariff) -> None:
    offer = quote(tariff, "inland", [500, 4000])
    assert (offer.net, offer.discount, offer.total) == (
        Decimal("10.40"),
        Decimal("0.00"),
        Decimal("10.40"),
    )


def test_many_parcels_are_cheaper(tariff: Tariff) -> None:
    offer = quote(tariff, "inland", [500] * 10)
    assert offer.discount == Decimal("1.95")
    assert offer.total == Decimal("37.05")


def test_nothing_costs_nothing(tariff: Tariff) -> None:
    assert quote(tariff, "abroad", []).total == 0
