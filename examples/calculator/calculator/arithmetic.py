"""What can be done with one number or two."""

from __future__ import annotations

from fractions import Fraction
from typing import Iterable, Union

#: What is taken as a number.
Number = Union[int, Fraction]


class CalculatorError(ArithmeticError):
    """A sum that has no result."""


def add(left: Number, right: Number) -> Fraction:
    """Both together."""
    return Fraction(left) + right


def subtract(left: Number, right: Number) -> Fraction:
    """What is left of the first."""
    return Fraction(left) - right


def multiply(left: Number, right: Number) -> Fraction:
    """One as often as the other."""
    return Fraction(left) * right


def divide(left: Number, right: Number) -> Fraction:
    """How often the second is in the first."""
    if right == 0:
        raise CalculatorError("nothing can be divided by zero")
    return Fraction(left) / right


def power(base: Number, exponent: int) -> Fraction:
    """A number times itself."""
    if exponent < 0:
        return divide(1, power(base, -exponent))
    result = Fraction(1)
    for _ in range(exponent):
        result *= base
    return result


def root(number: int) -> int:
    """The largest whole number whose square is not larger."""
    if number < 0:
        raise CalculatorError("a number below zero has no root")
    guess = number
    while guess * guess > number:
        guess = (guess + number // guess) // 2
    return guess


def percent(number: Number, share: Number) -> Fraction:
    """So many hundredths of a number."""
    return multiply(number, divide(share, 100))


def mean(numbers: Iterable[Number]) -> Fraction:
    """What each has when all have the same."""
    known = list(numbers)
    if not known:
        raise CalculatorError("no numbers have no mean")
    return divide(sum(known, Fraction(0)), len(known))


def factorial(number: int) -> int:
    """In how many orders so many things can stand."""
    if number < 0:
        raise CalculatorError("there are no fewer things than none")
    result = 1
    for factor in range(2, number + 1):
        result *= factor
    return result


def gcd(left: int, right: int) -> int:
    """The largest number that divides both."""
    while right:
        left, right = right, left % right
    return abs(left)
