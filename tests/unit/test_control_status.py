"""`steerctl status` of real engines: whose rule is followed, and hundreds of paths on one screen."""

import json

import pytest

from steerd.cli.terminal import say
from steerd.control import as_json, as_text
from steerd.core.settings import PathId, PolicyId, PolicySettings, Settings, ThresholdSettings
from steerd.status.snapshot import Snapshot
from tests.unit.driven import Driven, steady

MANY = {f"p{number:03}/wg0": steady(30.0 + number) for number in range(60)}


def status(driven):
    """The whole answer, as it is sent."""
    return json.loads(json.dumps(as_json.status(Snapshot(driven.view(), gateway="gw1", price=100.0)), allow_nan=False))


def listed(text):
    """The paths that have a line."""
    return [line.split()[0] for line in text.splitlines() if line[:1] == "p" and "/wg0 " in line]


@pytest.fixture(scope="module")
def many():
    delays = {**MANY, "p059/wg0": lambda now: None if now > 35.0 else 89.0}
    return Driven(delays).run(100.0)


def test_scouts_are_summed_up_unless_all_are_asked_for(many):
    text = as_text.status(status(many), colour=False)
    assert listed(text) == [f"p{number:03}/wg0" for number in range(12)]
    (line,) = (line for line in text.splitlines() if line.startswith("default: "))
    assert line.startswith("default: 48 of 60 paths are scouts, heard ")
    assert line.endswith("; 1 of them is down")
    assert "48 scouts are not listed: --all lists them" in text.splitlines()
    text = as_text.status(status(many), colour=False, every=True)
    assert len(listed(text)) == 60
    assert "are scouts" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("p030/wg0"))
    assert line.endswith("scout")
    text = as_text.status(status(many), colour=False, every=True, width=80)
    assert len(listed(text)) == 60
    assert max(map(len, text.splitlines())) <= 80


def test_what_a_switch_has_left_behind_has_a_line_where_it_is_so():
    view = Driven({path: MANY[path] for path in list(MANY)[:4]}).run(40.0).view()
    left = {PathId("p000/wg0"): 5, PathId("p002/wg0"): 1234, PathId("p003/wg0"): 1}  # the first is in use by now
    answer = as_json.status(Snapshot(view, staying=left))
    assert [one["staying"] for one in answer["paths"]] == [None, None, 1234, 1]
    lines = as_text.status(answer, colour=False).splitlines()
    assert [line for line in lines if "still on" in line] == [
        "1,234 connections still on p002/wg0",
        "1 connection still on p003/wg0",
    ]


def test_the_scouts_of_each_policy_have_a_line():
    near = PolicySettings(PolicyId("near"), forbidden=tuple((PathId(path), "far") for path in list(MANY)[20:]))
    driven = Driven(MANY, policies=(PolicySettings(PolicyId("default")), near), settings=Settings(max_active=4)).run(
        40.0
    )
    lines = as_text.status(status(driven), colour=False).splitlines()
    assert [line.partition(" paths")[0] for line in lines if "paths are scouts" in line] == [
        "default: 56 of 60",
        "near: 16 of 60",
    ]


def test_few_paths_are_listed_with_their_scouts():
    driven = Driven({path: MANY[path] for path in list(MANY)[:14]}).run(40.0)
    text = as_text.status(status(driven), colour=False)
    assert len(listed(text)) == 14
    assert sum(line.endswith("scout") for line in text.splitlines()) == 2
    assert "are scouts" not in text


def test_json_has_every_path_every_rule_and_what_they_cost(many):
    answer = status(many)
    assert len(answer["paths"]) == 60
    assert sum(path["scout"] for path in answer["paths"]) == 48
    assert all(path["age_s"] is not None for path in answer["paths"] if path["path"] != "p059/wg0")
    (policy,) = answer["policies"]
    assert (policy["paths"], policy["scouts"]) == (60, 48)
    rule = policy["rule"]
    assert rule["leader"] == "quick"
    assert rule["leads_for_s"] == pytest.approx(99.0, abs=2.0)
    assert set(rule["costs_ms_s"]) == {"quick", "work-function", "last-sample", "patient"}
    for name, cost in rule["costs_ms_s"].items():
        assert rule["costs_switches"][name] == pytest.approx(cost / 100.0, abs=0.001)


def test_the_leading_rule_is_shown_of_each_policy(many):
    header, row = (line.split() for line in as_text.status(status(many), colour=False).splitlines()[2:4])
    assert row[header.index("RULE")] == "quick"
    driven = Driven({"fra1/wg0": steady(30.0)}, settings=Settings(rule=ThresholdSettings())).run(5.0)
    answer = json.loads(json.dumps(as_json.status(Snapshot(driven.view()))))
    assert answer["policies"][0]["rule"] is None
    assert " threshold " in as_text.status(answer, colour=False)


def test_an_answer_of_an_earlier_daemon_is_still_shown(many):
    answer = status(many)
    for path in answer["paths"]:
        del path["scout"]
    for policy in answer["policies"]:
        del policy["rule"], policy["scouts"], policy["paths"]
    text = as_text.status(answer, colour=False)
    assert len(listed(text)) == 60


def test_on_a_terminal_its_colours_are_obeyed_and_nothing_that_others_chose(many, capsys):
    answer = status(many)
    answer["remarks"] = ["\x1b[2Jgone"]
    answer["paths"][0]["reason"], answer["paths"][0]["state"] = "\x1b[2Jgone", "down"
    say(as_text.status(answer, colour=True))
    coloured = capsys.readouterr().out
    assert "\x1b[31mp000/wg0  ! down" in coloured
    assert coloured.count(r"\x1b[2Jgone") == 2
    assert "\x1b[2J" not in coloured
    say(as_text.status(answer, colour=False))
    assert "\x1b" not in capsys.readouterr().out
