"""What operators read of uplinks: what they carried, what they cost, and who uses one that is to be spared."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from steerd.control import as_json, as_text
from steerd.control.parts.history import history
from steerd.core.events import Order, UplinkPrice, Verb
from steerd.status.snapshot import Snapshot, UplinkView
from steerd.web.metrics import Metrics
from tests.unit.driven import Driven, steady, stepped

LTE, FIBRE = "lte/wwan0", "fibre/eth0"
GB = 10**9


def view(used, state, **more):
    """Of the first path's uplink, which `Driven` calls as the path."""
    plain = UplinkView(LTE, True, True, 20.0, 0.0, int(used * GB), 50 * GB, "2026-11-01", "2026-12-01", state)
    return plain._replace(**more)


def seen(driven, *uplinks):
    return Snapshot(driven.view(), uplinks=uplinks)


def status(snapshot):
    answer = json.loads(json.dumps(as_json.status(snapshot)))
    return answer, as_text.status(answer, colour=False)


def why(snapshot):
    return " ".join(" ".join(as_json.why(snapshot)["policies"][0]["text"]).split())


@pytest.fixture
def driven():
    return Driven({LTE: steady(30.0), FIBRE: steady(60.0)}).run(20.0)


def test_status_has_a_line_for_each_uplink(driven):
    gone = view(0.0, "open", name="eth1", cap=None, metered=None, device=False)
    answer, text = status(seen(driven, view(41.2, "near", scarcity=4.0), gone))
    assert answer["uplinks"][0] == {
        "uplink": LTE, "state": "near", "bytes": 41_200_000_000, "cap_bytes": 50 * GB, "used": 0.824,
        "began": "2026-11-01", "ends": "2026-12-01", "price_ms": 20.0, "scarcity_ms": 4.0,
        "metered": True, "device": True, "paths": [LTE],
    }  # fmt: skip
    lines = text[text.index("UPLINK") :].splitlines()
    assert lines[1].split() == ["lte/wwan0", "!", "near", "41.2", "GB", "50.0", "GB", "2026-12-01", "24.0", "ms", "yes"]
    assert lines[2].split("-  ")[-1].strip() == "no such device: not counted"


def test_without_uplinks_nothing_is_said_of_them(driven):
    answer, text = status(seen(driven))
    assert answer["uplinks"] == []
    assert "UPLINK" not in text
    del answer["uplinks"]  # of an earlier daemon
    assert as_text.status(answer, colour=False) == text


def test_who_uses_an_uplink_at_its_cap_is_told_that_nothing_else_is_up():
    driven = Driven({LTE: steady(30.0), FIBRE: stepped(60.0, 20.0, None)}).run(10.0)
    driven.feed(UplinkPrice(LTE, 0.0, 1.01))
    assert driven.run(40.0).policy().choice == LTE
    snapshot = seen(driven, view(50.3, "reached"))
    carried = f"{LTE}, which has carried 50.3 GB of its cap of 50.0 GB"
    assert f"! default uses {LTE} over {carried}: nothing else is up" in status(snapshot)[1]
    assert "of its cap of 50.0 GB. It is used all the same: nothing else is up." in why(snapshot)


def test_who_is_kept_on_it_is_told_that_others_could_be_used(driven):
    driven.feed(Order(Verb.PIN, "default", "lte"))
    driven.feed(UplinkPrice(LTE, 0.0, 1.01))
    driven.run(40.0)
    snapshot = seen(driven, view(50.3, "reached"))
    assert "of its cap of 50.0 GB, though others could be" in status(snapshot)[1]
    assert "It is used all the same, though others could be." in why(snapshot)


def test_why_tells_what_a_cap_costs_and_that_an_uplink_is_spared(driven):
    assert LTE + " has carried" not in why(seen(driven, view(10.0, "open")))
    said = why(seen(driven, view(42.0, "near", scarcity=16.0)))
    assert "Its paths cost 16.0 ms more now, and twice as much with each further percent until 2026-12-01." in said
    driven.feed(UplinkPrice(LTE, 0.0, 0.97))
    driven.run(30.0)
    said = why(seen(driven, view(48.5, "last-resort")))
    assert "Its paths are used only if nothing else is up until 2026-12-01." in said
    assert "mostly for what its uplink costs" in said


def test_why_does_not_speak_of_uplinks_that_are_none_of_the_policy_s(driven):
    assert "has carried" not in why(seen(driven, view(50.3, "reached", name="other")))


def test_history_has_when_caps_were_neared_and_reached():
    rows = [{"wall_ms": 1_796_000_000_000, "uplink": "wwan0", "state": "reached", "why": "wwan0 has reached its cap"}]
    answer = history([], [], [*rows, {"wall_ms": 1}, {}])
    assert answer["uplinks"] == [{"at": "2026-11-30T00:53:20.000Z", **rows[0]}]
    assert as_text.history(answer).splitlines()[-1].endswith("  wwan0 has reached its cap")
    assert as_text.history({"switches": []}) == "No switch."  # of an earlier daemon


def test_metrics_have_bytes_caps_and_prices(driven):
    page = Metrics().render(seen(driven, view(42.0, "near", scarcity=16.0), view(1.0, "open", name="eth0", cap=None)))
    families = {family.name: family for family in text_string_to_metric_families(page.decode())}

    def values(name):
        return {sample.labels["uplink"]: sample.value for sample in families[name].samples}

    assert values("steerd_uplink_bytes") == {LTE: 42e9, "eth0": 1e9}
    assert values("steerd_uplink_cap_bytes") == {LTE: 50e9}
    assert values("steerd_uplink_price_seconds") == {LTE: 0.036, "eth0": 0.02}
