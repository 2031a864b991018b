"""Clock steps and suspends against slewing, with literal times."""

import time

from steerd.probe.wire.clock import ClockWatch, realtime_offset


def test_slewing_is_no_step():
    watch = ClockWatch(100.0, 5000.0)
    for n in range(1, 100):
        assert not watch.stepped(100.0 + 0.02 * n, 5000.0 + 0.083 * 0.02 * n)


def test_a_step_either_way_is_seen_once():
    watch = ClockWatch(100.0, 5000.0)
    assert watch.stepped(100.02, 5000.02)
    assert not watch.stepped(100.04, 5000.02)
    assert watch.stepped(100.06, 4990.0)


def test_a_suspend_is_a_step():
    watch = ClockWatch(100.0, 5000.0)
    assert watch.stepped(100.02, 5000.0 + 3600)


def test_the_offset_is_steady_on_a_machine_at_work():
    assert abs(realtime_offset() - realtime_offset()) < 0.001
    assert abs(time.monotonic() + realtime_offset() - time.time()) < 0.1
