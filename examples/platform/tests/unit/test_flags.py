"""Who has a feature."""

import pytest

from portal.flags import Flag, FlagError, checked, of, place

USERS = [f"user-{number}" for number in range(20)]


@pytest.mark.parametrize("user", USERS)
def test_who_stands_somewhere_stands_there_always(user: str) -> None:
    assert 0 <= place("dark", user) < 100
    assert place("dark", user) == place("dark", user)


@pytest.mark.parametrize("user", USERS)
def test_all_or_nobody_have_it_at_the_ends(user: str) -> None:
    assert Flag("dark", 100).is_on(user)
    assert not Flag("dark", 0).is_on(user)


@pytest.mark.parametrize("user", USERS)
def test_nobody_loses_what_more_get(user: str) -> None:
    has_it = [Flag("dark", percent).is_on(user) for percent in range(0, 101, 10)]
    assert has_it == sorted(has_it)


@pytest.mark.parametrize("percent", range(10, 100, 10))
def test_as_many_have_it_as_were_asked_for(percent: int) -> None:
    flag = Flag("dark", percent)
    having = sum(flag.is_on(f"user-{number}") for number in range(2000))
    assert abs(having / 20 - percent) < 5


@pytest.mark.parametrize("percent", [-1, 101, 1000])
def test_a_share_is_one_of_a_hundred(percent: int) -> None:
    with pytest.raises(FlagError):
        Flag("dark", percent)


@pytest.mark.parametrize("name", ["a", "dark", "checkout.v2", "a-b_c", "0", "x" * 63])
def test_names_are_names(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "<b>", "x" * 64, "ä"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(FlagError):
        checked(name)
    with pytest.raises(FlagError):
        of({name: 10})
