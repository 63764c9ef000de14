"""Sums as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from calculator.arithmetic import CalculatorError, add, divide, multiply, subtract

TOKEN = re.compile(r"\s*(?:(\d+)|([-+*/()]))")
SUMS = {"+": add, "-": subtract}
PRODUCTS = {"*": multiply, "/": divide}


class _Reader:
    """Reads a text from the left."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0

    def next(self) -> str:
        """The token that comes next, or nothing."""
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def take(self) -> str:
        """The same, and goes on."""
        token = self.next()
        self._place += 1
        return token

    def sum(self) -> Fraction:
        """Products that are added."""
        result = self.product()
        while self.next() in SUMS:
            operation = SUMS[self.take()]
            result = operation(result, self.product())
        return result

    def product(self) -> Fraction:
        """Numbers that are multiplied."""
        result = self.number()
        while self.next() in PRODUCTS:
            operation = PRODUCTS[self.take()]
            result = operation(result, self.number())
        return result

    def number(self) -> Fraction:
        """A number, or a sum in brackets."""
        token = self.take()
        if token == "-":
            return -self.number()
        if token == "(":
            result = self.sum()
            if self.take() != ")":
                raise CalculatorError("a bracket is not closed")
            return result
        if not token.isdigit():
            raise CalculatorError(f"a number is missing before {token or 'the end'}")
        return Fraction(int(token))


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise CalculatorError(f"{text[place:]} is no sum")
        found.append(match.group(1) or match.group(2))
        place = match.end()
    return found


def evaluate(text: str) -> Fraction:
    """The result of a sum, such as `2 * (3 + 4)`."""
    reader = _Reader(text)
    result = reader.sum()
    if reader.next():
        raise CalculatorError(f"there is something left: {reader.next()}")
    return result
