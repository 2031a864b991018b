"""An uplink's bytes: whatever becomes of its device's counter, none is lost, and none is counted twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.traffic.count import ABSENT, Count

MONTHLY = "month 1"
ONE, OTHER = "boot-a/3", "boot-a/7"


def counted(*looks, count=None):
    found = count or Count()
    for device, counter in looks:
        found.look(device, counter)
    return found


def test_counting_begins_with_the_first_look():
    """What went before is not known to belong to this period."""
    assert counted((ONE, 5_000_000)).bytes == 0
    assert counted((ONE, 5_000_000), (ONE, 5_001_000)).bytes == 1000


@pytest.mark.parametrize(
    "looks",
    [
        [(ONE, 0), (ONE, 900), (ONE, 100)],  # the driver began anew
        [(ONE, 0), (ONE, 900), (OTHER, 100)],  # another device, smaller
        [(ONE, 600), (ONE, 700), (OTHER, 900)],  # another device, and its counter is larger
        [(ONE, 0), (ONE, 900), (ABSENT, 0), (ABSENT, 0), (OTHER, 100)],  # a modem was plugged out and in
        [(ONE, 0), (ONE, 900), ("boot-b/3", 100)],  # the machine began anew
        [(ONE, 0), (ONE, 900), (ABSENT, 0), (ONE, 1000)],  # it was merely renamed
        [(ABSENT, 0), (ONE, 1000)],  # it came after us: all of it is new
        [(ABSENT, 0), (ABSENT, 0), (ONE, 400), (ONE, 1000)],
    ],
)
def test_counters_that_begin_anew_and_devices_that_are_replaced_count_on(looks):
    assert counted(*looks).bytes == 1000


def test_what_went_while_we_were_down_is_counted():
    before = counted((ONE, 100), (ONE, 300))
    after = counted((ONE, 900), count=Count.restored(json.loads(json.dumps(before.kept()))))
    assert after.bytes == 800
    assert counted(("boot-b/3", 50), count=Count.restored(before.kept())).bytes == 250


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER, ABSENT]), st.integers(0, 1000)), max_size=40))
def test_every_byte_of_every_device_is_counted_once(steps):
    """A device carries some bytes and is looked at; one that comes back has begun anew."""
    count, counter, device, total = Count(), 0, ABSENT, 0
    count.look(ABSENT, 0)
    for number, (which, more) in enumerate(steps):
        if which is ABSENT:
            device, counter = ABSENT, 0
            count.look(ABSENT, 0)
            continue
        if device is ABSENT or not device.startswith(which):
            device, counter = f"{which}-{number}", 0
        counter, total = counter + more, total + more
        count.look(device, counter)
        count = Count.restored(count.kept())
    assert count.bytes == total


def test_a_period_that_begins_is_counted_anew_once():
    count = counted((ONE, 0), (ONE, 500))
    assert not count.renew("2026-10-01", MONTHLY)  # the clock is known for the first time: this is its period
    assert count.bytes == 500
    assert not count.renew("2026-10-01", MONTHLY)
    assert count.renew("2026-11-01", MONTHLY)
    assert (count.bytes, count.began) == (0, "2026-11-01")
    count.look(ONE, 700)
    assert not count.renew("2026-11-01", MONTHLY)
    assert count.bytes == 200


def test_a_clock_that_goes_back_and_forth_again_loses_nothing():
    count = Count(bytes=700, began="2026-11-01", resets=MONTHLY)
    for began in ("2026-10-01", "2024-02-01", "2026-11-01"):
        assert not count.renew(began, MONTHLY)
    assert (count.bytes, count.began) == (700, "2026-11-01")


def test_another_day_of_reset_keeps_the_count():
    count = Count(bytes=700, began="2026-11-01", resets=MONTHLY)
    assert not count.renew("2026-11-15", "month 15")
    assert count.bytes == 700
    assert count.renew("2026-12-15", "month 15")


GOOD = {"bytes": 1, "began": "2026-11-01", "resets": "month 1", "device": "b/3", "counter": 7}


@pytest.mark.parametrize(
    "kept",
    [
        None, 7, "", [], {}, {**GOOD, "bytes": -1}, {**GOOD, "bytes": 1.5}, {**GOOD, "bytes": True},
        {**GOOD, "bytes": 1 << 70}, {**GOOD, "bytes": None}, {**GOOD, "counter": "7"}, {**GOOD, "began": "soon"},
        {**GOOD, "began": None}, {**GOOD, "began": "٢٠٢٦-11-01"}, {**GOOD, "resets": 1}, {**GOOD, "device": 3},
        {key: value for key, value in GOOD.items() if key != "counter"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_not_taken_up(kept):
    assert Count.restored(kept) is None


def test_what_is_kept_comes_back():
    for one in (Count(), Count.restored(GOOD), Count.restored({**GOOD, "of another version": 1})):
        assert Count.restored(json.loads(json.dumps(one.kept()))) == one
