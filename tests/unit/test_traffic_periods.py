"""Calendars and clocks: when a count begins anew, which hours are meant, and which clock is not believed."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.uplink import Every, Hours, Resets
from steerd.traffic.periods import BELIEVED_AFTER, LEAP, LocalTime, began, ends, within

DAILY = Resets(Every.DAY)


def monthly(day):
    return Resets(Every.MONTH, day)


@pytest.mark.parametrize(
    ("resets", "today", "first", "last"),
    [
        (monthly(1), "2026-11-30", "2026-11-01", "2026-12-01"),
        (monthly(1), "2026-12-01", "2026-12-01", "2027-01-01"),
        (monthly(15), "2026-01-14", "2025-12-15", "2026-01-15"),
        (monthly(15), "2026-01-15", "2026-01-15", "2026-02-15"),
        (monthly(31), "2026-02-27", "2026-01-31", "2026-02-28"),
        (monthly(31), "2026-02-28", "2026-02-28", "2026-03-31"),
        (monthly(31), "2026-03-30", "2026-02-28", "2026-03-31"),
        (monthly(30), "2028-02-29", "2028-02-29", "2028-03-30"),
        (monthly(29), "2027-03-01", "2027-02-28", "2027-03-29"),
        (Resets(Every.WEEK, 0), "2026-11-30", "2026-11-30", "2026-12-07"),
        (Resets(Every.WEEK, 6), "2026-11-28", "2026-11-22", "2026-11-29"),
        (DAILY, "2026-12-31", "2026-12-31", "2027-01-01"),
    ],
)
def test_periods(resets, today, first, last):
    day = date.fromisoformat(today)
    assert (began(resets, day).isoformat(), ends(resets, day).isoformat()) == (first, last)


resets = st.one_of(
    st.just(DAILY), st.builds(Resets, st.just(Every.WEEK), st.integers(0, 6)), st.builds(monthly, st.integers(1, 31))
)


@given(resets, st.dates(date(2024, 1, 1), date(2100, 1, 1)))
def test_periods_follow_each_other_without_a_gap(resets, today):
    first, last = began(resets, today), ends(resets, today)
    assert first <= today < last
    assert (last - first).days <= {Every.DAY: 1, Every.WEEK: 7, Every.MONTH: 31}[resets.every]
    assert began(resets, last) == last
    assert began(resets, last - timedelta(days=1)) == first
    assert ends(resets, first) == last


@pytest.mark.parametrize(
    ("hours", "at", "is_within"),
    [
        (Hours(480, 1080), "08:00", True), (Hours(480, 1080), "17:59", True), (Hours(480, 1080), "18:00", False),
        (Hours(480, 1080), "07:59", False), (Hours(1320, 360), "23:30", True), (Hours(1320, 360), "05:59", True),
        (Hours(1320, 360), "06:00", False), (Hours(1080, 0), "23:59", True), (Hours(1080, 0), "00:00", False),
        (None, "12:00", False),
    ],
)  # fmt: skip
def test_hours(hours, at, is_within):
    assert within(hours, datetime.fromisoformat(f"2026-11-30T{at}")) is is_within


NOW = datetime.fromisoformat("2026-11-30T12:00").timestamp()


def test_a_clock_that_is_not_set_is_not_believed():
    assert LocalTime().look(0.0, 5.0) is None
    assert LocalTime().look(datetime.fromisoformat("2023-12-31T12:00").timestamp(), 5.0) is None
    assert LocalTime().look(NOW, 5.0) == datetime.fromisoformat("2026-11-30T12:00")
    assert LocalTime().look(1e18, 5.0) is None


def test_a_clock_that_was_set_back_is_followed():
    clock = LocalTime()
    assert clock.look(NOW, 0.0)
    assert clock.look(NOW - 40 * 86_400.0, 1.0) == datetime.fromisoformat("2026-10-21T12:00")


def test_a_clock_that_leaps_is_believed_when_it_has_stood_so():
    clock = LocalTime()
    assert clock.look(NOW, 0.0)
    ahead = NOW + 400 * 86_400.0
    assert clock.look(ahead, 1.0) is None
    assert clock.look(ahead + BELIEVED_AFTER - 1.0, BELIEVED_AFTER) is None
    assert clock.look(ahead + BELIEVED_AFTER, BELIEVED_AFTER + 1.0).year == 2028


def test_a_leap_that_was_mended_is_forgotten():
    clock = LocalTime()
    assert clock.look(NOW, 0.0)
    assert clock.look(NOW + 2 * LEAP, 1.0) is None
    assert clock.look(NOW + 2.0, 2.0)
    assert clock.look(NOW + 2 * LEAP, BELIEVED_AFTER + 5.0) is None


def test_a_clock_that_is_set_for_the_first_time_is_believed_at_once():
    clock = LocalTime()
    assert clock.look(0.0, 0.0) is None
    assert clock.look(NOW, 1.0)


def test_time_that_went_by_is_no_leap():
    clock = LocalTime()
    assert clock.look(NOW, 0.0)
    assert clock.look(NOW + 30 * 86_400.0, 30 * 86_400.0)
