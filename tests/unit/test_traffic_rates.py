"""From the kernel's counters to the rate of a path's own traffic."""

from pathlib import Path

from steerd.core.events import Carried
from steerd.core.settings import PathId
from steerd.traffic.rates import Rates, read

A, B = PathId("fra1/wg0"), PathId("ams1/wg1")
PAGE = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0
wg-fra1:500 1 0 0 0 0 0 0 250 1 0 0 0 0 0 0
 garbled: 1 2
\xff\xfe: x x x x x x x x x x x x x x x x
"""


def page(counts):
    """As the kernel writes it, of so many bytes received by each device."""
    lines = [f"{name:>6}: {count} 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\n" for name, count in counts.items()]
    return b"".join([*PAGE.splitlines(keepends=True)[:2], *(line.encode() for line in lines)])


def rates(used=(A,)):
    told = []
    return Rates({A: "wg0", B: "wg1"}, used=lambda: used, on_rate=told.append), told


def test_a_device_s_bytes_are_those_of_both_ways():
    assert (read(PAGE, "lo"), read(PAGE, "wg-fra1")) == (2000, 750)


def test_a_device_that_is_not_there_or_garbled_has_no_count():
    assert [read(PAGE, name) for name in ("o", "fra1", "wg-fra", "garbled", "face", "")] == [None] * 6


def test_this_machine_s_own_page_is_read():
    assert read(Path("/proc/self/net/dev").read_bytes(), "lo") is not None


def test_the_rate_of_a_path_in_use_is_told_after_two_readings():
    one, told = rates()
    one.look(page({"wg0": 0, "wg1": 0}), 10.0)
    assert told == []
    one.look(page({"wg0": 200_000, "wg1": 900_000}), 12.0)
    assert told == [Carried(A, 100_000.0)]


def test_a_rate_that_hardly_changes_is_no_news():
    one, told = rates()
    for second, count in enumerate((0, 100_000, 210_000, 290_000)):
        one.look(page({"wg0": count}), float(second))
    assert told == [Carried(A, 100_000.0)]


def test_what_probes_alone_amount_to_is_not_told():
    one, told = rates()
    one.look(page({"wg0": 0}), 0.0)
    one.look(page({"wg0": 500}), 1.0)
    assert told == []


def test_a_path_that_is_left_carries_nothing():
    used = [A]
    one, told = rates(used)
    one.look(page({"wg0": 0, "wg1": 0}), 0.0)
    one.look(page({"wg0": 50_000, "wg1": 0}), 1.0)
    used[:] = [B]
    one.look(page({"wg0": 90_000, "wg1": 60_000}), 2.0)
    assert told == [Carried(A, 50_000.0), Carried(B, 60_000.0), Carried(A, 0.0)]


def test_a_device_that_is_made_anew_begins_at_nothing():
    one, told = rates()
    one.look(page({"wg0": 10_000_000}), 0.0)
    one.look(page({"wg0": 3_000}), 1.0)
    one.look(page({}), 2.0)
    one.look(page({"wg0": 3_000}), 3.0)
    assert told == []


def test_after_a_reload_all_is_told_again():
    one, told = rates()
    one.look(page({"wg0": 0}), 0.0)
    one.look(page({"wg0": 50_000}), 1.0)
    one.configure({A: "wg0"})
    one.look(page({"wg0": 100_000}), 2.0)
    assert told == [Carried(A, 50_000.0), Carried(A, 50_000.0)]
