"""Own load over queues that are nearly full, simulated packet by packet: there is rest, and what is worse is left."""

import pytest

from bench.queues import BEGINS, BROWN_OUT, START, switches


@pytest.mark.parametrize(
    ("kind", "rtts", "interval"),
    [
        ("frames-8", (20.0, 35.0), 0.2),
        ("frames-24", (20.0, 35.0), 0.2),
        ("poisson-1", (20.0, 22.0), 0.2),
        ("frames-8", (20.0, 22.0), 1.0),
        ("frames-24", (20.0, 22.0), 1.0),
    ],
)
def test_between_two_queues_that_are_nearly_full_there_is_rest(kind, rtts, interval):
    """Without `own_queue` there are 40 to 90 an hour between 20 and 22 ms; with a probe a second alone, up to 54."""
    moves = [switches(kind, rtts, interval, seed) for seed in range(3)]
    assert max(sum(at < START for at in one) for one in moves) <= 4
    assert sum(sum(at >= START for at in one) for one in moves) <= (12 if interval < 1.0 else 18)  # in 54 minutes


def test_a_gateway_with_both_families_rests_as_well():
    """Without it there are 50 to 80 an hour."""
    moves = switches("frames-24", (20.0, 22.0), 1.0, 0, legs=2)
    assert sum(at >= START for at in moves) <= 4  # in 18 minutes


def test_a_path_that_is_worse_behind_its_queue_is_still_left():
    for seed in range(3):
        moves = switches("frames-24", (20.0, 35.0), 0.2, seed, length=330.0, brown_out=BROWN_OUT)
        assert any(BEGINS < at < BEGINS + 15.0 for at in moves), moves
