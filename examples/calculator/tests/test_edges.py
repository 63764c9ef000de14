"""What has no result, and how that is said."""

from typing import Callable

import pytest

import calculator as calc


@pytest.mark.parametrize(
    "text",
    ["", "2 +", "* 2", "(2", "2)", "2 2", "two", "1 / 0", "()", "2 + )", "1 / (3 - 3)"],
)
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(calc.CalculatorError):
        calc.evaluate(text)


@pytest.mark.parametrize(
    "sum_without_result",
    [
        lambda: calc.divide(1, 0),
        lambda: calc.root(-1),
        lambda: calc.mean([]),
        lambda: calc.factorial(-1),
        lambda: calc.power(0, -1),
    ],
)
def test_what_has_no_result_says_so(sum_without_result: Callable[[], object]) -> None:
    with pytest.raises(calc.CalculatorError):
        sum_without_result()


@pytest.mark.parametrize(("number", "orders"), [(0, 1), (1, 1), (2, 2), (5, 120), (10, 3628800)])
def test_things_stand_in_so_many_orders(number: int, orders: int) -> None:
    assert calc.factorial(number) == orders


@pytest.mark.parametrize(("text", "result"), [("-3", -3), ("2*-3", -6), ("((7))", 7)])
def test_signs_and_brackets_are_read(text: str, result: int) -> None:
    assert calc.evaluate(text) == result
