"""Probes by their sequence numbers, and paths on one grid."""

from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from steerd.core.settings import PathId
from steerd.replay.imports.align import period, swept
from steerd.replay.imports.sample import Malformed, Sample
from steerd.replay.imports.sequence import Sequence
from steerd.replay.imports.series import Series, gather

WRAPS = 1 << 16


def probes(lines, *, wraps=WRAPS, first=None):
    """The samples of one run of (number, sent, rtt)."""
    run = Sequence("a", wraps=wraps, first=first)
    for line, (number, sent, rtt) in enumerate(lines, 1):
        run.add(number, sent, rtt, line)
    return [(sample.sent_at, sample.rtt) for sample in run.samples()]


def test_a_gap_is_lost_probes_evenly_between_the_answers_around_it():
    assert probes([(1, 10.0, 5.0), (5, 18.0, 6.0)]) == [
        (10.0, 5.0),
        (12.0, None),
        (14.0, None),
        (16.0, None),
        (18.0, 6.0),
    ]


def test_a_late_answer_takes_the_place_of_its_loss():
    found = probes([(1, 10.0, 5.0), (2, 12.5, None), (3, 12.0, 5.0), (2, 11.0, 1900.0), (4, 13.0, 5.0)])
    assert found == [(10.0, 5.0), (11.0, 1900.0), (12.0, 5.0), (13.0, 5.0)]


def test_a_second_answer_to_one_probe_does_not_count():
    assert probes([(1, 10.0, 5.0), (2, 11.0, 5.0), (1, 10.0, 99.0)]) == [(10.0, 5.0), (11.0, 5.0)]


def test_the_sequence_number_wraps():
    found = probes([(65534, 10.0, 1.0), (65535, 11.0, 2.0), (0, 12.0, 3.0), (3, 15.0, 4.0)])
    assert [rtt for _, rtt in found] == [1.0, 2.0, 3.0, None, None, 4.0]


def test_an_outage_that_is_longer_than_the_sequence_number_is_seen_in_the_time():
    found = probes([(1, 10.0, 1.0), (2, 11.0, 1.0), (3, 70_000.0 + 11.0, 1.0), (4, 70_012.0, 1.0)])
    assert len(found) == 4  # the machine slept: 70,000 s have not 65,537 probes in them
    found = probes([(1, 10.0, 1.0), (2, 11.0, 1.0), ((70_002) % WRAPS, 70_011.0, 1.0), (70_003 % WRAPS, 70_012.0, 1.0)])
    assert len(found) == 70_003
    assert sum(rtt is None for _, rtt in found) == 69_999


def test_an_outage_that_was_told_probe_by_probe_is_as_long_as_that():
    """Its 65,600 s would have room for all sequence numbers once more."""
    lines = [(1, 10.0, 1.0), (2, 11.0, 1.0), *((number % WRAPS, number + 10.0, None) for number in range(3, 65_600))]
    found = probes([*lines, (65_600 % WRAPS, 65_609.0, 1.0)])
    assert len(found) == 65_600


def test_what_was_lost_before_the_first_answer_counts_where_the_beginning_is_known():
    lines = [(4, 13.0, 5.0), (5, 14.0, 5.0)]
    assert [at for at, _ in probes(lines, first=1)] == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert [at for at, _ in probes(lines)] == [13.0, 14.0]


def test_what_was_lost_after_the_last_answer_counts_where_the_end_is_told():
    run = Sequence("a", wraps=WRAPS, first=1)
    for number in (1, 2):
        run.add(number, float(number), 5.0, number)
    run.ended(4, 3)
    assert [(one.sent_at, one.rtt) for one in run.samples()] == [(1.0, 5.0), (2.0, 5.0), (3.0, None), (4.0, None)]


def test_a_run_without_an_answer_is_lost_at_the_times_that_were_printed():
    assert probes([(1, 11.0, None), (2, 12.0, None)]) == [(11.0, None), (12.0, None)]


def test_a_sequence_number_that_nobody_can_have_reached_is_an_error():
    with pytest.raises(Malformed, match="jumps ahead by 5000000000"):
        probes([(0, 10.0, 1.0), (1, 11.0, 1.0), (5_000_000_001, 12.0, 1.0)], wraps=0)
    with pytest.raises(Malformed, match="jumps ahead by 30000 in 1 s"):
        probes([(0, 10.0, 1.0), (1, 11.0, 1.0), (30_001, 12.0, 1.0)])


def test_a_probe_sent_later_with_a_lower_number_is_of_another_run():
    run = Sequence("a", wraps=0)
    for number in range(10):
        run.add(number, float(number), 5.0, number + 1)
    assert run.restarts(0, 20.0)
    assert run.restarts(3, 20.0, answered=False)
    assert not run.restarts(3, 3.0)
    assert not run.restarts(10, 10.0)


def series(times):
    one = Series()
    one.extend(array("d", times), array("d", [1.0] * len(times)), Path("x"))
    return one


def on_grid(**paths):
    found = {PathId(name): series(times) for name, times in paths.items()}
    return list(swept(found, period(found)))


def test_paths_that_are_probed_at_moments_of_their_own_share_each_step():
    found = on_grid(a=[100.0 + n for n in range(50)], b=[100.5 + n + 0.04 * (-1) ** n for n in range(50)])
    assert [one.paths for one in found] == [["a"], *[["a", "b"]] * 49, ["b"]]
    assert [one.sent_at for one in found] == [100.0 + n for n in range(51)]


def test_a_clock_that_drifts_leaves_out_a_step_now_and_then_and_never_two_in_a_row():
    found = on_grid(a=[float(n) for n in range(1000)], b=[1.01 * n for n in range(990)])
    missing = [number for number, one in enumerate(found) if "b" not in one.paths]
    assert len(missing) == 10
    assert all(after - before > 50 for before, after in pairwise(missing))
    assert all(len(set(one.paths)) == len(one.paths) for one in found)


def test_a_path_that_is_probed_less_often_has_a_row_where_it_was_probed():
    found = on_grid(a=[float(n) for n in range(100)], b=[10.0 * n for n in range(10)])
    assert [number for number, one in enumerate(found) if "b" in one.paths] == list(range(0, 100, 10))


def test_steps_without_any_row_are_left_out():
    assert [one.sent_at for one in on_grid(a=[0.0, 1.0, 2.0, 1e10, 1e10 + 1.0])] == [0.0, 1.0, 2.0, 1e10, 1e10 + 1.0]


def test_samples_are_put_in_the_order_of_sending():
    found = {}
    gather([Sample("a", 3.0, 1.0), Sample("a", 1.0, None), Sample("a", 2.0, 2.0)], found, Path("x"))
    assert list(found["a"].rows()) == [(1.0, None), (2.0, 2.0), (3.0, 1.0)]
