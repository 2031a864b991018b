"""What a daemon that only observes says of where traffic goes, and of what steering would save."""

import json

from steerd.control import as_json, as_text
from steerd.control.parts import observing
from steerd.core.events import Observed
from steerd.core.settings import PathId, PolicyId
from steerd.status.snapshot import Snapshot
from tests.unit.driven import Driven, steady

A, DEFAULT = PathId("a/wg0"), PolicyId("default")
ELSEWHERE = "by wan0 through 192.0.2.1, which is no path of it"


def status(observed):
    driven = Driven({"a/wg0": steady(20.0), "b/wg0": steady(30.0)}).run(20.0)
    seen = Snapshot(driven.view(), gateway="gw1", price=100.0, observed={DEFAULT: observed})
    return as_text.status(json.loads(json.dumps(as_json.status(seen))), colour=False).splitlines()


def test_where_traffic_goes_is_in_the_table_if_it_is_a_path_and_below_if_it_is_a_sentence():
    lines = status(Observed(DEFAULT, A))
    assert "  by a/wg0  " in next(line for line in lines if line.startswith("default"))
    lines = status(Observed(DEFAULT, None, ELSEWHERE))
    assert "  see below  " in next(line for line in lines if line.startswith("default  "))
    assert f"default: its traffic goes {ELSEWHERE}" in lines


def saved(**changes):
    side = {"rtt_ms": 20.0, "lost": 0.0}
    one = {"policy": "default", "path": "a/wg0", "goes": None, "choice": "a/wg0", "seconds": 60.0, "apart_s": 0.0}
    return observing.text(
        {"seconds": 60.0, "policies": [one | {"was": side, "would": side, "moves": 0, "last": []} | changes]}
    )


def test_savings_say_where_traffic_is_and_would_be():
    assert "default: its traffic goes by a/wg0; steerd would have it there, too.\n" in saved()
    assert "its traffic goes by a/wg0; steerd would have it on b/wg0." in saved(choice="b/wg0")
    assert "  0.00 ms of RTT saved\n" in saved() + "\n"
    assert "ms of RTT saved, 30s less without an answer" in saved(was={"rtt_ms": 20.0, "lost": 0.5})
    assert "its traffic goes by a/wg0; steerd would have it on no path." in saved(choice=None, seconds=0.0)
    text = saved(path=None, goes=ELSEWHERE, seconds=0.0)
    assert f"its traffic goes {ELSEWHERE}; steerd would have it on a/wg0." in text
    assert "where it goes now, steerd does not probe." in text
