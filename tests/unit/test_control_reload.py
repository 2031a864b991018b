"""What is said of reloads: how long one may wait to be confirmed, status while it does, and plans."""

import pytest

from steerd.control import as_text
from steerd.control.requests import confirm_within
from steerd.control.server import RefusedError

STATUS = {"gateway": "gw1", "version": "1", "epoch": 7, "policies": [], "drains": [], "declined": {}, "paths": []}


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, None), (1, 1.0), ("60s", 60.0), (90.5, 90.5), ("24h", 86400.0), ("1d", 86400.0)]
)
def test_how_long_a_reload_may_wait(given, seconds):
    assert confirm_within({"verb": "reload", "confirm": given}) == seconds
    assert confirm_within({"verb": "reload"}) is None


@pytest.mark.parametrize("given", [0, 0.5, -1, "999ms", 86400.5, "25h", 1e300])
def test_too_short_or_too_long(given):
    with pytest.raises(RefusedError, match=r"^confirm: must be "):
        confirm_within({"verb": "reload", "confirm": given})


@pytest.mark.parametrize("given", [True, False, [], {}, "soon", "", float("nan"), float("inf")])
def test_what_is_no_time(given):
    with pytest.raises(RefusedError, match=r"^confirm: must be a duration"):
        confirm_within({"verb": "reload", "confirm": given})


@pytest.mark.parametrize(
    ("reload", "said"),
    [
        (None, None),
        (
            {"state": "unconfirmed", "left_s": 41.2},
            "! the last reload waits for `steerctl confirm`: 41s left, then it is taken back",
        ),
        (
            {"state": "taken-back", "ago_s": 200.0, "problems": []},
            "! the last reload was not confirmed, and was taken back 3m20s ago",
        ),
        (
            {"state": "stuck", "ago_s": 200.0, "problems": ["export.listen: taken"]},
            "! the last reload was not confirmed, but could not be taken back: export.listen: taken",
        ),
    ],
)
def test_status_tells_of_a_trial(reload, said):
    text = as_text.status({**STATUS, "reload": reload}, colour=False)
    assert text.splitlines()[1:] == ([] if said is None else ["", said])


def test_status_tells_of_remarks_below_the_reload():
    reload = {"state": "unconfirmed", "left_s": 41.2}
    text = as_text.status({**STATUS, "reload": reload, "remarks": ["one thing", "another"]}, colour=False)
    assert text.splitlines()[3:] == ["! one thing", "! another"]


def test_a_plan_as_text():
    one = {"lines": ["ip rule add priority 1"], "total": 1, "notes": []}
    assert as_text.plan(one) == "ip rule add priority 1"
    nothing = {"lines": [], "total": 0, "notes": []}
    assert as_text.plan(nothing) == "# the kernel already has all of it"
    assert as_text.plan({**nothing, "notes": ["a switch follows"]}).splitlines()[1:] == ["# a switch follows"]
    long = {**one, "total": 400_001}
    assert as_text.plan(long).splitlines()[1:] == ["# and 400000 more: `steerd run --dry-run` prints all"]
