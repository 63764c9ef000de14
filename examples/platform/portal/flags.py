"""Features that some have, and others not yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

#: What features and users may be called.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class FlagError(ValueError):
    """A feature or a user that cannot be."""


@dataclass(frozen=True)
class Flag:
    """A feature, and how many of a hundred have it."""

    name: str
    percent: int

    def __post_init__(self) -> None:
        checked(self.name)
        if not 0 <= self.percent <= 100:
            raise FlagError(f"{self.percent} is no share of a hundred")

    def is_on(self, user: str) -> bool:
        """Whether somebody has it: the same each time, and whoever has it at 10 has it at 20."""
        return place(self.name, checked(user)) < self.percent


def checked(name: str) -> str:
    """The name, if it is one."""
    if not NAME.fullmatch(name):
        raise FlagError("names are of small letters, digits, dots and dashes")
    return name


def place(flag: str, user: str) -> int:
    """Where somebody stands in the queue for a feature, from 0 to 99."""
    digest = hashlib.sha256(f"{flag}/{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


def of(shares: Mapping[str, int]) -> dict[str, Flag]:
    """Features by name."""
    return {name: Flag(name, percent) for name, percent in shares.items()}
