"""What it costs to send a parcel."""

from parcels.quote import Quote, quote
from parcels.tariff import Tariff, TariffError

__all__ = ["Quote", "Tariff", "TariffError", "quote"]
