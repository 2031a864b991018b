"""The small kinds of values: durations, prefixes, numbers by name."""

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.gateway.numbering import number
from steerd.config.prefixes import count, covered, each, joined, pack, unpack
from steerd.text.durations import parse, show


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("1d", 86400),
        ("0s", 0),
        (2, 2),
        (0.5, 0.5),
    ],
)
def test_durations(text, seconds):
    assert parse(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "-1s", "1 year", "s", "1e3s", "٣s", True, None, float("nan"), -1, [1]])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="must be a duration"):
        parse(text)


@given(st.integers(0, 10**9))
def test_durations_shown_mean_the_same(milliseconds):
    assert parse(show(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


NETWORKS = st.one_of(
    st.builds(lambda a, n: ipaddress.IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(
        lambda a, n: ipaddress.IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
    ),
)


@given(NETWORKS)
def test_prefixes_pack_as_ipaddress_reads_them(network):
    packed = pack(str(network))
    assert packed == network.network_address.packed + bytes([network.prefixlen])
    assert ipaddress.ip_network(unpack(packed)) == network


@given(st.lists(NETWORKS, max_size=20))
def test_joined_prefixes_are_sorted_and_unique(networks):
    prefixes = joined(pack(str(network)) for network in networks)
    assert count(prefixes) == len(set(networks))
    assert {unpack(one) for one in each(prefixes)} == {unpack(pack(str(network))) for network in networks}
    v4 = [one for one in each(prefixes) if len(one) == 5]
    assert v4 == sorted(v4)


@given(NETWORKS, st.lists(NETWORKS, max_size=5))
def test_covered_is_what_ipaddress_calls_a_subnet(one, others):
    expected = any(one.version == other.version and one.subnet_of(other) for other in others)
    assert covered(pack(str(one)), {pack(str(other)) for other in others}) == expected


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0/", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/ 8", "::/129", "a\0b", "10.0.0.1/31x"]
)
def test_what_is_no_prefix(text):
    with pytest.raises(ValueError, match="must"):
        pack(text)


@given(st.sets(st.text(max_size=5), max_size=20), st.randoms())
def test_numbers_depend_on_names_alone(names, random):
    shuffled = list(names)
    random.shuffle(shuffled)
    numbers = number(shuffled, 20)
    assert numbers == number(names, 20)
    assert sorted(set(numbers.values())) == sorted(numbers.values())
    assert all(0 <= n < 20 for n in numbers.values())


def test_two_hundred_thousand_prefixes_take_seconds_at_most():
    texts = [f"{a}.{b}.{c}.0/24" for a in range(1, 5) for b in range(200) for c in range(250)]
    begun = time.process_time()
    assert count(joined(map(pack, texts))) == 200_000
    assert time.process_time() - begun < 3
