"""Quotes for several parcels."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Iterable

from parcels.tariff import Tariff

#: Parcels from which on there is a discount.
MANY = 10
#: The discount, as a share.
DISCOUNT = Decimal("0.05")


@dataclass(frozen=True)
class Quote:
    """What it costs, and why."""

    parcels: int
    net: Decimal
    discount: Decimal

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        return self.net - self.discount


def quote(tariff: Tariff, zone: str, weights: Iterable[int]) -> Quote:
    """A quote for parcels of these weights, in grams."""
    prices = [tariff.price(zone, grams) for grams in weights]
    net = sum(prices, Decimal("0.00"))
    share = DISCOUNT if len(prices) >= MANY else Decimal(0)
    discount = (net * share).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return Quote(parcels=len(prices), net=net, discount=discount)
