"""A tariff that all tests share."""

from decimal import Decimal

import pytest

from parcels.tariff import Step, Tariff


@pytest.fixture
def tariff() -> Tariff:
    """Two zones, of which one takes heavy parcels."""
    inland = [
        Step(1000, Decimal("3.90")),
        Step(5000, Decimal("6.50")),
        Step(31500, Decimal("16.90")),
    ]
    return Tariff({"inland": inland, "abroad": [Step(2000, Decimal("12.00"))]})
