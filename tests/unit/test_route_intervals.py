"""Disjoint ranges against what a routing table would answer."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from steerd.route.model.intervals import Range, every, flatten
from steerd.route.model.prefixes import pack


def packed(text: str) -> bytes:
    return pack(ip_network(text).version, (text,))


def ranges(*entries: tuple[str, str | None]) -> dict[str, str]:
    found = flatten(4, [(packed(text), target) for text, target in entries])
    return {f"{ip_address(one.first)}-{ip_address(one.last)}": target for one, target in found.items()}


def test_a_hole_and_what_is_within_it():
    assert ranges(("10.0.0.0/8", "a"), ("10.1.0.0/16", None), ("10.1.2.0/24", "b")) == {
        "10.0.0.0-10.0.255.255": "a",
        "10.1.2.0-10.1.2.255": "b",
        "10.2.0.0-10.255.255.255": "a",
    }


def test_neighbours_of_one_target_are_one_range():
    assert ranges(("0.0.0.0/1", "a"), ("128.0.0.0/1", "a")) == {"0.0.0.0-255.255.255.255": "a"}
    assert flatten(6, [(packed("::/0"), "a"), (packed("2001:db8::/32"), "a")]) == {every(6): "a"}


def test_of_equal_prefixes_the_first_counts():
    assert ranges(("10.0.0.0/8", "a"), ("10.0.0.0/8", None)) == {"10.0.0.0-10.255.255.255": "a"}


def test_nothing_comes_of_nothing():
    assert flatten(4, []) == {}
    assert ranges(("10.0.0.0/8", None)) == {}


PREFIXES = st.tuples(st.integers(0, 255), st.integers(0, 8)).map(
    lambda drawn: bytes((drawn[0] & ~((1 << (8 - drawn[1])) - 1) & 255, 0, 0, 0, drawn[1]))
)


@given(st.lists(st.tuples(PREFIXES, st.sampled_from(["a", "b", None])), max_size=12))
def test_every_address_comes_to_what_the_longest_prefix_says(entries):
    found = flatten(4, entries)
    assert list(found) == sorted(found)
    table = {}
    for entry, target in entries:
        table.setdefault(entry, target)
    for top in range(256):
        address = top << 24
        holding = [
            (entry[-1], target)
            for entry, target in table.items()
            if address >> (32 - entry[-1]) == int.from_bytes(entry[:4]) >> (32 - entry[-1])
        ]
        expected = max(holding, key=lambda one: one[0])[1] if holding else None
        told = [target for one, target in found.items() if one.first <= address <= one.last]
        assert told == ([expected] if expected else [])
    for one, other in zip(found, list(found)[1:], strict=False):
        assert isinstance(one, Range)
        assert one.last < other.first
        assert one.last + 1 < other.first or found[one] != found[other]
