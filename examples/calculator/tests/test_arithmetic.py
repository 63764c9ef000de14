"""What holds for every pair of numbers."""

from fractions import Fraction

import pytest

import calculator as calc

PAIRS = [
    (0, 1),
    (1, 1),
    (2, 3),
    (3, 2),
    (-4, 5),
    (6, -7),
    (-8, -9),
    (10, 100),
    (12, 18),
    (1000, 7),
    (65536, 256),
    (10**30, 3),
]
every_pair = pytest.mark.parametrize(("left", "right"), PAIRS)


@every_pair
def test_the_order_of_a_sum_is_nothing(left: int, right: int) -> None:
    assert calc.add(left, right) == calc.add(right, left)


@every_pair
def test_the_order_of_a_product_is_nothing(left: int, right: int) -> None:
    assert calc.multiply(left, right) == calc.multiply(right, left)


@every_pair
def test_what_was_added_can_be_taken_away(left: int, right: int) -> None:
    assert calc.subtract(calc.add(left, right), right) == left


@every_pair
def test_what_was_multiplied_can_be_divided(left: int, right: int) -> None:
    assert calc.divide(calc.multiply(left, right), right) == left


@every_pair
def test_the_second_power_is_a_square(left: int, right: int) -> None:
    assert calc.power(left, 2) == left * left
    assert calc.power(right, -1) == Fraction(1, right)


@every_pair
def test_a_root_is_the_largest_that_fits(left: int, right: int) -> None:
    number = abs(left * right)
    assert calc.root(number) ** 2 <= number < (calc.root(number) + 1) ** 2


@every_pair
def test_a_hundred_percent_are_everything(left: int, right: int) -> None:
    assert calc.percent(left, 100) == left
    assert calc.percent(left, right) == calc.percent(right, left)


@every_pair
def test_a_mean_is_as_far_from_both(left: int, right: int) -> None:
    middle = calc.mean([left, right])
    assert calc.subtract(middle, left) == calc.subtract(right, middle)


@every_pair
def test_what_divides_both_divides_their_sum(left: int, right: int) -> None:
    assert (left + right) % calc.gcd(left, right) == 0


@every_pair
def test_a_sum_can_be_written(left: int, right: int) -> None:
    assert calc.evaluate(f"{left} + {right}") == left + right
    assert calc.evaluate(f"{left} - {right}") == left - right


@every_pair
def test_a_product_can_be_written(left: int, right: int) -> None:
    assert calc.evaluate(f"{left} * ({right} + 1)") == left * (right + 1)
    assert calc.evaluate(f"1 + {left} / {right}") == 1 + Fraction(left, right)
