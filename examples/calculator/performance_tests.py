"""How long each operation takes, as a report of benchmarks."""

import json
import statistics
import timeit
from typing import Callable

import calculator as calc

#: Times that each is measured, and calls that one measurement has.
SAMPLES, CALLS = 7, 200

OPERATIONS: dict[str, Callable[[], object]] = {
    "add": lambda: calc.add(12, 34),
    "subtract": lambda: calc.subtract(12, 34),
    "multiply": lambda: calc.multiply(12, 34),
    "divide": lambda: calc.divide(12, 34),
    "power": lambda: calc.power(3, 20),
    "root": lambda: calc.root(10**20),
    "percent": lambda: calc.percent(250, 19),
    "mean": lambda: calc.mean(range(20)),
    "factorial": lambda: calc.factorial(30),
    "gcd": lambda: calc.gcd(10**12, 10**9 + 8),
    "evaluate": lambda: calc.evaluate("2 * (3 + 4) - 5 / 6"),
}


def measure(name: str, operation: Callable[[], object]) -> dict[str, object]:
    """The median of all samples: what else the machine did is in few of them."""
    samples = [
        seconds / CALLS * 1e6 for seconds in timeit.repeat(operation, repeat=SAMPLES, number=CALLS)
    ]
    return {
        "name": name,
        "value": statistics.median(samples),
        "unit": "us",
        "deviation": statistics.stdev(samples),
    }


if __name__ == "__main__":
    print(json.dumps([measure(*operation) for operation in OPERATIONS.items()], indent=1))
