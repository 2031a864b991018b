"""When pinned connections are released: of paths that died, were left long ago, or are to be spared."""

from math import inf

from steerd.core.settings import PathId
from steerd.route.reconcile.release import Due, Release

A, B = PathId("lte/wwan0"), PathId("fibre/eth0")
BOTH = (A, B)
HOUR = 3600.0


def left(*, spared=()):
    """Policies were on A, and are on B since second 10."""
    one = Release()
    one.chose(BOTH, {A}, 0.0)
    one.due(0.0, 0.0)  # what an earlier run left on B
    one.spare(frozenset(spared))
    one.chose(BOTH, {B}, 10.0)
    return one


def test_what_is_left_on_a_path_that_works_may_stay_a_while():
    one = left()
    assert one.due(11.0, HOUR) == []
    assert one.deadline(HOUR) == 10.0 + HOUR
    assert one.due(10.0 + HOUR, HOUR) == [Due(A, inbound=False)]
    assert one.due(1e9, HOUR) == []


def test_what_is_left_on_a_path_that_is_spared_is_released_at_once_and_once():
    one = left(spared={A})
    assert one.due(10.0, HOUR) == [Due(A, inbound=False)]  # what came in by it goes on
    assert one.due(11.0, HOUR) == []
    assert one.deadline(HOUR) == inf


def test_a_path_that_is_spared_after_it_was_left_is_released_then():
    one = left()
    assert one.spare(frozenset({A}))
    assert one.due(11.0, HOUR) == [Due(A, inbound=False)]
    assert not one.spare(frozenset({A}))  # no news
    assert one.due(12.0, HOUR) == []


def test_nothing_is_released_while_a_policy_uses_the_path():
    one = left(spared={B})
    assert one.due(11.0, HOUR) == []
    one.chose(BOTH, {A}, 12.0)
    assert one.due(12.0, HOUR) == [Due(B, inbound=False)]


def test_a_path_that_is_no_longer_spared_keeps_what_is_left_there():
    one = left(spared={A})
    one.due(10.0, HOUR)
    one.spare(frozenset())
    one.chose(BOTH, {A}, 20.0)
    one.chose(BOTH, {B}, 30.0)
    assert one.due(31.0, HOUR) == []
    assert one.deadline(HOUR) == 30.0 + HOUR
