"""The whole way as operators see it."""

import json

from steerd.control import as_json, as_text
from steerd.core.events import BackboneLink, BackboneLinks, PopState
from steerd.core.settings import PathId, PolicyId, PolicySettings
from steerd.status.snapshot import Snapshot
from tests.unit.driven import Driven, steady
from tests.unit.test_control_explain import flat, why

FRA, AMS, NYC = PathId("fra1/wg0"), PathId("ams1/wg0"), PathId("nyc1/wg0")
POLICY = PolicySettings(PolicyId("db"), service="db", through=("fra1", "ams1", "nyc1"))


def driven():
    return Driven({FRA: steady(12.0), AMS: steady(33.0), NYC: steady(80.0)}, policies=(POLICY,)).run(10.0)


def says(driven, pop, *links):
    driven.feed(PopState(pop, accepting=True, backbone=BackboneLinks(tuple(BackboneLink(*one) for one in links))))


def status(driven):
    return json.loads(json.dumps(as_json.status(Snapshot(driven.view(), price=100.0)), allow_nan=False))


def test_why_tells_the_whole_way():
    one = driven()
    assert "No PoP says how far db is from it: the ways to the PoPs alone decide." in flat(why(one))
    says(one, "fra1", ("ams1", 7.0, 0.0), ("db", 60.0, 0.0))
    says(one, "ams1", ("db", 24.0, 0.02))
    text = flat(why(one.run(13.0)))
    assert "ms away, and 31.0 ms further to db by ams1 with 2.0 % loss." in text
    assert "fra1 is 12." in text
    assert "ams1 is 3" in text
    assert "and 24.0 ms further to db with 2.0 % loss." in text
    assert "nyc1 is 80" in text
    assert "away; how far db is from there is not known, which counts as 100 ms." in text
    assert "backbone" in why(one, verbose=True)


def test_what_was_said_some_time_ago_is_told_as_such():
    one = driven()
    says(one, "fra1", ("db", 60.0, 0.0))
    assert ", as was said some time ago: it counts as " in flat(why(one.run(150.0)))


def test_status_has_a_column_for_it_where_a_policy_has_a_service():
    one = driven()
    says(one, "fra1", ("db", 31.0, 0.0))
    answer = status(one.run(13.0))
    assert [path["backbone_ms"] for path in answer["paths"]] == [{"db": 31.0}, {"db": 100.0}, {"db": 100.0}]
    assert answer["policies"][0]["service"] == "db"
    shown = as_text.status(answer)
    assert "BACKBONE" in shown
    assert "31.0 ms" in shown
    plain = Driven({FRA: steady(12.0)}).run(5.0)
    assert "BACKBONE" not in as_text.status(status(plain))


def test_the_way_is_in_the_answer_to_why():
    one = driven()
    says(one, "fra1", ("ams1", 7.0, 0.0))
    says(one, "ams1", ("db", 24.0, 0.0))
    (policy,) = as_json.why(Snapshot(one.run(13.0).view()))["policies"]
    ways = {found["path"]: found["way"] for found in policy["candidates"]}
    assert ways == {
        FRA: {"by": ["ams1"], "rtt_ms": 31.0, "loss": 0.0, "faded": 0.0},
        AMS: {"by": [], "rtt_ms": 24.0, "loss": 0.0, "faded": 0.0},
        NYC: None,
    }


def test_a_switch_for_the_backbone_is_told_in_words():
    one = driven()
    for pop, rtt in (("fra1", 5.0), ("ams1", 5.0), ("nyc1", 5.0)):
        says(one, pop, ("db", rtt, 0.0))
    one.run(30.0)
    says(one, "fra1", ("db", 60.0, 0.0))
    text = flat(why(one.run(60.0)))
    assert "it moved from fra1/wg0 to ams1/wg0." in text
    assert "mostly for how far the service is from its PoP" in text
