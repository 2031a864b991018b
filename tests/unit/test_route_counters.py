"""The table of counters: which addresses it looks up, and what its counters are called."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.route_settings import Guard, Prefixes
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range
from steerd.route.nft.counters import FEW, MOST, SAMPLE, TooManyError, counters, cut
from steerd.route.nft.ruleset import Inputs
from steerd.route.wanted.selection import selections
from tests.lab.test_route_world import path, policy, settings

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=8)
PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)


def apart(pairs) -> list[Range]:
    """Ranges that do not meet, in order."""
    found: list[Range] = []
    for first, size in sorted(pairs):
        if not found or first > found[-1].last:
            found.append(Range(first, first + size))
    return found


def table(*policies, inputs=None, busy=False):
    given_ = settings(PATHS, policies)
    return counters(given_, selections(given_), inputs or Inputs(), ["a", "b", "wan"], answers=False, busy=busy)


@given(RANGES, RANGES)
def test_holes_are_cut_out_and_nothing_else_is(pairs, holes):
    whole, holes = apart(pairs), apart(holes)
    left = cut(dict.fromkeys(whole, "x"), holes)

    def numbers(ranges) -> set[int]:
        return {number for one in ranges for number in range(one.first, one.last + 1)}

    assert numbers(left) == numbers(whole) - numbers(holes)
    assert list(left) == sorted(left)


def test_a_counter_is_called_by_what_it_counts_whatever_the_order_of_the_file():
    other = policy("other", 1, "10.0.0.0/8")
    one = table(ALL, other)
    two = table(replace(other, order=0), replace(ALL, order=1))
    assert one.cells == two.cells
    assert {cell.device for cell in one.cells.values() if cell.what == "left"} == {"a", "b", "wan", ""}


def test_what_main_knows_better_is_cut_out_and_what_is_doubtful_is_not():
    packed = Prefixes(prefixes.pack(4, ["192.168.50.0/24"]))
    text = table(ALL, inputs=Inputs(main=packed)).table.whole
    assert "192.168.50.0/24 : accept" in text
    assert "@alone" not in text
    halves = Prefixes(prefixes.pack(4, ["0.0.0.0/1", "128.0.0.0/1"]))
    taken = {("all", 4): frozenset()}
    doubtful = table(ALL, inputs=Inputs(main=halves, doubtful=halves, taken=taken)).table.whole
    assert "elements = { 224.0.0.0/4 : accept, * : goto left" in doubtful
    assert "0.0.0.0/1 : accept" not in doubtful


def test_what_a_policy_excepts_goes_on_to_the_next_selection_and_the_rest_of_a_default_is_not_listed():
    excepting = policy("all", 0, "0.0.0.0/0", excepted=("10.0.0.0/8",))
    text = table(excepting, policy("ten", 1, "10.1.0.0/16", sources=("192.168.50.0/24",))).table.whole
    assert "10.0.0.0/8 : continue, 224.0.0.0/4 : accept, * : goto left" in text
    assert "elements = { 10.1.0.0/16 : goto left" in text


def test_of_many_prefixes_one_packet_of_many_is_counted_and_of_too_many_none():
    few = table(ALL)
    assert few.every == 1
    assert "numgen" not in few.table.whole
    busy = table(ALL, busy=True)
    assert busy.every == SAMPLE
    assert busy.cells == few.cells
    assert "@alone" not in busy.table.whole
    listed = [f"10.{number // 256}.{number % 256}.0/24" for number in range(0, 2 * FEW + 2, 2)]
    many = table(replace(ALL, prefixes=Prefixes(prefixes.pack(4, listed))))
    assert many.every == SAMPLE
    assert f"numgen random mod {SAMPLE} != 0 accept" in many.table.whole
    packed = b"".join(number.to_bytes(4) + b"\x20" for number in range(0, 2 * MOST + 2, 2))
    with pytest.raises(TooManyError, match="ranges of addresses"):
        table(replace(ALL, prefixes=Prefixes(packed)))


def test_more_counters_than_can_be_read_are_too_many():
    many = tuple(policy(f"p{number}", number, f"10.{number}.0.0/16") for number in range(90))
    given_ = settings(PATHS, many)
    with pytest.raises(TooManyError, match="counters"):
        counters(given_, selections(given_), Inputs(), [f"wg{number}" for number in range(60)], answers=False)


def test_there_is_none_without_a_policy():
    assert table() is None
