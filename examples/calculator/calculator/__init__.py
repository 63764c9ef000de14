"""Sums that come out exactly."""

from calculator.arithmetic import (
    CalculatorError,
    add,
    divide,
    factorial,
    gcd,
    mean,
    multiply,
    percent,
    power,
    root,
    subtract,
)
from calculator.expression import evaluate

__all__ = [
    "CalculatorError",
    "add",
    "divide",
    "evaluate",
    "factorial",
    "gcd",
    "mean",
    "multiply",
    "percent",
    "power",
    "root",
    "subtract",
]
