"""The wheel and the schedule on it, with literal times."""

import math
import random

import pytest

from steerd.probe.timing.schedule import TICK, Schedule, phase
from steerd.probe.timing.wheel import Wheel


def test_wheel_gives_items_when_their_slot_begins_and_never_early():
    wheel: Wheel[str] = Wheel(0.005)
    wheel.put("b", 10.012)
    wheel.put("a", 10.006)
    wheel.put("c", 10.015)
    assert wheel.next_at() == pytest.approx(10.010)
    assert wheel.take(10.009) == []
    assert wheel.take(10.010) == ["a"]
    assert wheel.take(11.0) == ["b", "c"]
    assert wheel.next_at() == math.inf


@pytest.mark.parametrize("uptime", [5.0, 1e6, 1e8, 1e9])
@pytest.mark.parametrize("step", [0.005, 0.1])
def test_wheel_is_not_misled_by_float_error_on_the_grid(uptime: float, step: float) -> None:
    wheel: Wheel[int] = Wheel(0.005)
    for n in range(round(uptime / step), round(uptime / step) + 1000):
        wheel.put(n, n * step)
        assert wheel.take(n * step) == [n]


def taken(schedule: Schedule[str], times: list[float]) -> list[tuple[float, str]]:
    return [(time, key) for time in times for key in schedule.take(time)]


def ticks(start: float, end: float, step: float = 0.005) -> list[float]:
    return [n * step for n in range(round(start / step), round(end / step))]


def test_keys_fall_due_once_a_period_at_their_own_phase():
    schedule: Schedule[str] = Schedule()
    for key, at in (("a", 0.0), ("b", 0.25), ("c", 0.9)):
        schedule.add(key, at)
        schedule.every(key, 1.0, 100.0)
    assert taken(schedule, ticks(100.0, 102.2)) == [
        (100.25, "b"), (100.9, "c"), (101.0, "a"), (101.25, "b"), (101.9, "c"), (102.0, "a"),
    ]  # fmt: skip
    assert schedule.skipped == 0


def test_however_long_its_period_a_key_is_due_for_the_first_time_within_a_second():
    schedule: Schedule[str] = Schedule()
    for key, at in (("a", 0.2), ("b", 0.9)):
        schedule.add(key, at)
        schedule.every(key, 120.0, 130.0)
    assert taken(schedule, ticks(130.0, 400.0)) == [
        (130.2, "a"), (130.9, "b"), (228.0, "b"), (264.0, "a"), (348.0, "b"), (384.0, "a"),
    ]  # fmt: skip


def test_many_keys_are_spread_over_the_period():
    counts = [0] * 20
    for n in range(1000):
        counts[int(phase(f"pop{n}/wg{n}#0", 7) * 20)] += 1
    assert max(counts) < 90
    assert phase("fra1/wg0#0", 1) == phase("fra1/wg0#0", 1) != phase("fra1/wg0#0", 2)


def test_a_stall_skips_and_counts_and_makes_no_burst():
    schedule: Schedule[int] = Schedule()
    for n in range(100):
        schedule.add(n, n / 100)
        schedule.every(n, 1.0, 100.0)
    assert len([key for time in ticks(100.0, 101.0) for key in schedule.take(time)]) == 99
    assert schedule.take(104.5) == []  # 3.5 seconds without a tick
    assert schedule.skipped == pytest.approx(350, abs=2)
    sent = [len(schedule.take(time)) for time in ticks(104.505, 105.5)]
    assert max(sent) == 1
    assert sum(sent) == pytest.approx(99, abs=1)


def test_a_short_stall_loses_no_slot():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.5)
    schedule.every("a", 1.0, 100.0)
    assert schedule.take(100.59) == ["a"]
    assert schedule.skipped == 0
    assert taken(schedule, ticks(100.6, 102.0)) == [(101.5, "a")]


@pytest.mark.parametrize("lag", [0.0003, 0.003, 0.03, 0.09])
@pytest.mark.parametrize("period", [0.1, 0.25, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("uptime", [0.0, 1e7, 1e8])
def test_on_the_grid_of_ticks_no_slot_is_skipped_wherever_in_it_a_key_is_due(
    uptime: float, period: float, lag: float
) -> None:
    # A slot that begins right behind a tick waits for the next one, and that is late by what the machine is.
    draw, late = random.Random(4), min(lag, 0.3 * period)
    schedule: Schedule[int] = Schedule()
    for key in range(200):
        schedule.add(key, draw.choice([draw.random(), draw.randrange(10) / 10 + draw.random() * late / period]) % 1)
        schedule.every(key, period, uptime)
    now, sent = uptime, 0
    while now < uptime + 1.0 + 4.0 * period:
        now = schedule.tick_after(schedule.next_at(), now) + late
        sent += len(schedule.take(now))
    assert schedule.skipped == 0
    assert sent >= 4 * 200


def test_looks_are_no_further_apart_than_a_tick() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.5)
    schedule.every("a", 3.0, 100.0)
    assert schedule.tick_after(100.0, 100.0) == pytest.approx(100.0 + TICK)
    assert schedule.tick_after(101.51, 100.0) == pytest.approx(101.6)


def test_a_faster_cadence_takes_effect_at_once():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.5)
    schedule.every("a", 1.0, 100.0)
    assert taken(schedule, ticks(100.0, 100.7)) == [(100.5, "a")]
    schedule.every("a", 0.1, 100.7)
    assert schedule.next_at() == pytest.approx(100.7)
    assert [time for time, _ in taken(schedule, ticks(100.7, 101.0))] == pytest.approx([100.7, 100.85, 100.95])
    assert schedule.shortest == pytest.approx(0.1)


def test_a_faster_cadence_keeps_its_distance_from_the_probe_just_sent():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.5)
    schedule.every("a", 1.0, 100.0)
    assert taken(schedule, ticks(100.0, 100.51)) == [(100.5, "a")]
    schedule.every("a", 0.4, 100.51)
    # On the phase of 0.4 s that is 100.6, 101.0; the first is nearer than half a period.
    assert [time for time, _ in taken(schedule, ticks(100.51, 101.1))] == pytest.approx([101.0])


def test_the_same_cadence_again_changes_nothing():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.5)
    schedule.every("a", 1.0, 100.0)
    for now in (100.1, 100.2, 100.3):
        schedule.every("a", 1.0, now)
    assert taken(schedule, ticks(100.3, 101.0)) == [(100.5, "a")]


def test_rest_and_removal_end_a_key():
    schedule: Schedule[str] = Schedule()
    for key in ("a", "b"):
        schedule.add(key, 0.5)
        schedule.every(key, 1.0, 100.0)
    schedule.every("a", None, 100.1)
    schedule.remove("b")
    assert taken(schedule, ticks(100.0, 103.0)) == []
    assert schedule.shortest == math.inf
    schedule.every("a", 1.0, 103.0)
    assert taken(schedule, ticks(103.0, 104.0)) == [(103.5, "a")]


def test_probes_of_a_key_keep_half_a_period_whatever_the_cadence_does():
    draw = random.Random(3)
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.37)
    last = -math.inf
    for now in ticks(50.0, 80.0):
        if draw.random() < 0.01:
            schedule.every("a", draw.choice([0.05, 0.2, 1.0, None]), now)
        if schedule.take(now):
            assert now - last > 0.02
            last = now
    assert schedule.skipped == 0
