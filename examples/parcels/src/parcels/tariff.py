"""Prices by weight and zone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from typing import Mapping, Sequence


class TariffError(ValueError):
    """A tariff that makes no sense, or a parcel that it has no price for."""


@dataclass(frozen=True)
class Step:
    """The price of everything up to a weight."""

    up_to_grams: int
    price: Decimal


class Tariff:
    """Steps of prices for each zone."""

    def __init__(self, zones: Mapping[str, Sequence[Step]]) -> None:
        for zone, steps in zones.items():
            limits = [step.up_to_grams for step in steps]
            if not limits:
                raise TariffError(f"zone {zone} has no prices")
            if limits != sorted(set(limits)):
                raise TariffError(f"the weights of zone {zone} do not go up")
        self._zones = {zone: tuple(steps) for zone, steps in zones.items()}

    def price(self, zone: str, grams: int) -> Decimal:
        """The price of a parcel of this weight to this zone."""
        if zone not in self._zones:
            known = ", ".join(sorted(self._zones))
            raise TariffError(f"there is no zone {zone}; there are {known}")
        if grams <= 0:
            raise TariffError(f"a parcel weighs more than {grams} g")
        steps = self._zones[zone]
        index = bisect_left([step.up_to_grams for step in steps], grams)
        if index == len(steps):
            raise TariffError(f"{grams} g are too heavy for zone {zone}")
        return steps[index].price
