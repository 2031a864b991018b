"""What `steerctl why` says of real engines in real trouble: plain words first, every figure for who asks."""

import asyncio
import json
import re
from dataclasses import replace
from random import Random

import pytest

from steerd.control import as_json, as_text
from steerd.control.server import RefusedError
from steerd.core.effects import Switched
from steerd.core.events import Link, Order, Verb
from steerd.core.settings import (
    PanelSettings,
    PathId,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)
from steerd.daemon.answers.explaining import Explaining
from steerd.status.snapshot import Snapshot
from steerd.store.store import Store
from tests.unit.driven import Driven, steady, stepped

FRA, AMS, NYC = PathId("fra1/wg0"), PathId("ams1/wg0"), PathId("nyc1/wg0")
DEFAULT = PolicyId("default")
BROWN_OUT = {FRA: stepped(30.0, 60.0, 55.0), AMS: steady(32.0), NYC: steady(80.0)}


def why(driven, *, verbose=False):
    """The text, as steerctl prints it."""
    answer = json.loads(json.dumps(as_json.why(Snapshot(driven.view(), price=100.0)), allow_nan=False))
    return as_text.why(answer, verbose=verbose)


def flat(text):
    """Sentences in one line, however they were wrapped."""
    return re.sub(r"\s+", " ", text)


def only(member):
    return Settings(rule=PanelSettings(only=member))


def test_a_brown_out_is_told_in_plain_words():
    driven = Driven(BROWN_OUT).run(90.0)
    text = flat(why(driven))
    assert text.startswith("Policy default has used ams1/wg0 for 27s; fra1/wg0 stands by. Of 4 rules it follows quick")
    assert re.search(r"which has led for 1m2\ds\. Over about the last hour [a-z-]+ would have cost least;", text)
    assert "Decision 17-2, 27s ago: it moved from fra1/wg0 to ams1/wg0." in text
    said = re.search(
        r"fra1/wg0 had become (\d+\.\d) ms slower than ams1/wg0\. Staying 33 s longer would have cost "
        r"(\d+\.\d) times a switch, and it is not noise: (\d+\.\d) ms are enough\.",
        text,
    )
    gain, times, needed = map(float, said.groups())
    assert 10.0 < needed < gain < 25.0
    assert times == pytest.approx(gain * 33.0 / 100.0, abs=0.06)
    assert re.search(r"Outlook: fra1/wg0 is the cheapest rival; it would have to be .* ms dearer\.$", text)


def test_without_verbose_there_is_no_table_and_with_it_every_figure():
    driven = Driven(BROWN_OUT).run(90.0)
    assert "cost in ms" not in why(driven)
    assert "ms*s" not in why(driven)
    text = why(driven, verbose=True)
    assert text.startswith(why(driven))
    assert text.count("cost in ms, now") == text.count("cost in ms, then") == 1
    assert re.search(r"The rule quick compared: gain \d+\.\d ms, price 100\.0 ms\*s, needed \d+\.\d ms\.", text)
    for member in ("quick (leads)", "work-function", "last-sample", "patient"):
        assert re.search(rf"^  {re.escape(member)} +\d+\.\d +\d+\.\d\d$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (only("patient"), r"Staying 100 s longer would have cost [\d.]+ times a switch, and it is not noise: "),
        (
            only("last-sample"),
            r"By the last probe fra1/wg0 had come to cost 2\d\.\d ms more than ams1/wg0\. Staying 20 s",
        ),
        (only("work-function"), r"Over time fra1/wg0 had cost a whole switch \(100 ms\*s\) more than the best path\."),
        (Settings(rule=RegretSettings()), r"It follows one rule: work-function\..*a whole switch \(100 ms\*s\) more"),
        (
            Settings(rule=ThresholdSettings(hold=5.0)),
            r"slower than ams1/wg0\. It had been so for [\d.]+s; the rule asks for [\d.]+ ms for 5\.0s\.",
        ),
    ],
    ids=["patient", "last-sample", "work-function", "regret", "threshold"],
)
def test_each_rule_says_what_it_compared(settings, said):
    driven = Driven(BROWN_OUT, settings=settings).run(100.0)
    assert driven.policy().choice == AMS
    assert re.search(said, flat(why(driven)))
    assert "The rule compared" not in flat(why(driven))
    assert "ms*s" in why(driven, verbose=True) or isinstance(settings.rule, ThresholdSettings)


def test_loss_is_named_as_the_cause():
    draw, calm = Random(5), steady(30.0)
    lossy = {FRA: lambda now: None if now > 60.0 and draw.random() < 0.2 else calm(now), AMS: steady(33.0)}
    text = flat(why(Driven(lossy).run(80.0)))
    assert re.search(r"fra1/wg0 had come to cost \d+\.\d ms more than ams1/wg0, mostly for its loss\.", text)


def test_what_died_is_not_spoken_of_as_a_rival():
    driven = Driven({FRA: stepped(30.0, 60.0, None), AMS: steady(32.0), NYC: steady(80.0)}).run(90.0)
    text = flat(why(driven))
    assert "fra1/wg0 was down: 3 probes in a row unanswered over 0" in text
    assert "s; ams1/wg0 was the cheapest path that could be used, at 32." in text
    assert "Outlook: nyc1/wg0 is the cheapest rival; " in text
    assert "Cannot be used now: fra1/wg0: down: 3 probes in a row unanswered" in text
    driven.feed(Order(Verb.DRAIN, "nyc1"))
    driven.run(92.0)
    text = flat(why(driven))
    assert "Outlook: no rival may be used now." in text
    assert "nyc1/wg0: nyc1 is drained (operator)" in text


def test_orders_are_told_with_who_gave_them():
    driven = Driven(BROWN_OUT).run(20.0)
    driven.feed(Order(Verb.PIN, DEFAULT, "nyc1", origin="signed by alice"))
    driven.run(25.0)
    text = flat(why(driven))
    assert "It is pinned to nyc1, while that is usable, until unpinned." in text
    assert "The policy was pinned to nyc1 (signed by alice)." in text
    driven.feed(Order(Verb.UNPIN, DEFAULT, origin="signed by alice"))
    driven.feed(Order(Verb.DRAIN, "nyc1", origin="signed by bob"))
    driven.run(30.0)
    text = flat(why(driven))
    assert "nyc1 is to be left (signed by bob); fra1/wg0 was the cheapest path that could be used, at 30." in text


def test_where_nothing_can_be_used_it_says_so_and_compares_nothing():
    driven = Driven({FRA: steady(30.0), AMS: steady(32.0)}).run(20.0)
    driven.feed(Order(Verb.DRAIN, "fra1"))
    driven.feed(Order(Verb.DRAIN, "ams1"))
    text = flat(why(driven.run(25.0)))
    assert "None of its paths can be used: the last choice is held." in text
    assert "Outlook: the first path that can be used is taken." in text
    assert "is not answering" not in text
    blocked = Driven({FRA: steady(30.0)}, policies=(PolicySettings(DEFAULT, when_none=WhenNone.BLOCK),)).run(20.0)
    blocked.feed(Link(FRA, up=False))
    text = flat(why(blocked.run(25.0)))
    assert "Policy default uses no path. None of its paths can be used: its traffic is blocked." in text
    assert "it moved from fra1/wg0 to no path." in text
    assert "No other path could be used, so the traffic is blocked." in text


def test_before_the_first_choice_there_is_little_to_say():
    text = flat(why(Driven({FRA: lambda _: None, AMS: lambda _: None})))
    assert text.startswith("Policy default uses no path. No choice was made yet.")
    assert "Over about the last hour all would have cost the same." in text
    assert text.endswith("Cannot be used now: fra1/wg0, ams1/wg0: nothing heard yet")


def test_own_traffic_is_charged_to_other_paths_and_said():
    """Whoever carries the traffic is 60 ms slower for it, from a time on."""
    used, fra, ams = [], steady(30.0), steady(32.0)
    loaded = {
        FRA: lambda now: fra(now) + 60.0 * (now > 20.0 and used[-1:] == [FRA]),
        AMS: lambda now: ams(now) + 60.0 * (used[-1:] == [AMS]),
        NYC: steady(200.0),
    }
    driven = Driven(loaded, rates={FRA: 1e6, AMS: 1e6}, used=used).run(60.0)
    text = why(driven, verbose=True)
    (own,) = re.findall(r"Its own traffic would add (\d\d\.\d) ms to any other path; their costs have it\.", text)
    assert 45.0 < float(own) < 65.0
    assert f"  own_load, +{own} ms: what our own traffic would add there." in text
    assert re.search(r"cost in ms, now +rtt +jitter +own_load +total$", text, re.MULTILINE)


MANY = {f"p{number:03}/wg0": steady(30.0 + number) for number in range(40)}


def test_scouts_are_counted_and_listed_for_who_asks():
    driven = Driven(MANY).run(60.0)
    text = why(driven)
    assert "28 of 40 paths are scouts, each looked at every 30s." in text.splitlines()
    assert "p020/wg0" not in text
    text = why(driven, verbose=True)
    rows = re.findall(r"^  (p\d+/wg0) +([\d.]+) ms +([\d.]+)s ago$", text, re.MULTILINE)
    assert [row[0] for row in rows] == [f"p{number:03}/wg0" for number in range(12, 40)]
    assert all(float(age) < 31.0 for *_, age in rows)
    answer = as_json.why(Snapshot(driven.view(), price=100.0))["policies"][0]
    assert (answer["paths"], answer["scouts"]) == (40, 28)
    assert sum(one["scout"] for one in answer["candidates"]) == 28


def test_many_paths_that_cannot_be_used_are_listed_shortly():
    forbidden = tuple((PathId(f"p{number:03}/wg0"), "region us is not among de") for number in range(20, 40))
    text = why(Driven(MANY, policies=(PolicySettings(DEFAULT, forbidden=forbidden),)).run(5.0))
    assert "  p020/wg0, p021/wg0, p022/wg0 and 17 more: region us is not among de" in text.splitlines()


def test_no_line_is_wider_than_100_columns():
    names = {f"{'pop' * 6}{number}/{'path' * 5}": steady(30.0 + number) for number in range(14)}
    names[next(iter(names))] = stepped(25.0, 20.0, 70.0)
    assert max(map(len, why(Driven(names).run(40.0)).splitlines())) <= 100


# Events of the history


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run with two switches, its decisions kept two hours ago, and one that version 0.1 has kept."""
    driven = Driven(BROWN_OUT).run(90.0)
    store = Store(tmp_path_factory.mktemp("store"))
    store.open()
    import time

    at = int((time.time() - 7200.0) * 1000)
    for one in driven.switches:
        store.decided(one, at)
    store.decided(
        driven.switches[1]._replace(
            event_id="9-9", rule="confident", margin={"gain": 25.0, "stderr": 0.3, "regret": 5.2, "price": 100.0}
        ),
        at,
    )
    store.traced("17-2", at, TRACE)
    yield store, driven
    store.close()


TRACE = {
    "path": "fra1/wg0", "after_s": 2.3, "verdict": "answers until hop 1 (203.0.113.1), nothing beyond", "legs": [],
}  # fmt: skip


def asked(kept, name, policies=None):
    """What `steerctl why` is told of a real engine, with a real store."""
    store, driven = kept
    view = driven.view()
    if policies:
        view = replace(view, policies=tuple(replace(view.policies[0], policy=PolicyId(name)) for name in policies))
    answer = Explaining(lambda: Snapshot(view, price=100.0), store, lambda _: b"").verbs()["why"]
    return asyncio.run(answer({"verb": "why", **({} if name is None else {"policy": name})}))


def test_any_event_of_the_history_is_explained(kept):
    answer = asked(kept, "17-2")
    assert answer["policies"] == []
    event = answer["event"]
    assert (event["event_id"], event["policy"], event["from"], event["to"]) == ("17-2", "default", FRA, AMS)
    assert event["ago_s"] == pytest.approx(7200.0, abs=60.0)
    assert event["at"].endswith("Z")
    text = flat(as_text.why(answer))
    assert re.match(
        r"Decision 17-2, 2h00m ago, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: policy default moved from fra1/wg0 to", text
    )
    assert "Staying 33 s longer would have cost " in text
    assert "Trace of fra1/wg0, 2.3s after: answers until hop 1" in text
    assert "cost in ms" not in text
    assert "cost in ms, then" in as_text.why(answer, verbose=True)


def test_the_last_decision_reads_the_same_as_a_kept_event(kept):
    now = asked(kept, "default")["policies"][0]["text"]
    then = asked(kept, "17-2")["event"]["text"]
    sentence = next(line for line in now if "had become" in line)
    assert sentence in then


def test_an_event_that_version_0_1_kept_is_told_too(kept):
    text = as_text.why(asked(kept, "9-9"), verbose=True)
    assert "fra1/wg0 had become 25.0 ms slower than ams1/wg0 (rule: confident)." in flat(text)
    assert "The rule confident compared: gain 25.0 ms, stderr 0.3, regret 5.2 ms*s, price 100.0 ms*s." in flat(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("17-3", 'there is no policy and no event "17-3"; `steerctl history` lists what is kept'),
        ("defualt", 'there is no policy "defualt"; did you mean "default"?'),
        ("17-", 'there is no policy "17-"; known: default'),
        ("17-2%", 'there is no policy "17-2%"; known: default'),
        (17, "must name a policy"),
    ],
)
def test_what_is_no_policy_and_no_event_is_refused_in_words(kept, name, said):
    with pytest.raises(RefusedError) as caught:
        asked(kept, name)
    assert str(caught.value) == said


def test_a_policy_with_the_name_of_an_event_is_asked_for_first(kept):
    answer = asked(kept, "17-2", policies=["17-2", "default"])
    assert [one["policy"] for one in answer["policies"]] == ["17-2"]
    assert "event" not in answer
    assert asked(kept, "17-1", policies=["17-2", "default"])["event"]["event_id"] == "17-1"


def test_without_a_name_every_policy_is_told(kept):
    assert [one["policy"] for one in asked(kept, None, policies=["a", "b"])["policies"]] == ["a", "b"]


def test_every_switch_of_a_run_has_a_sentence_and_an_end(kept):
    """Nothing of a stored decision is left unsaid, and no sentence lacks its full stop."""
    _, driven = kept
    assert [type(one) for one in driven.switches] == [Switched, Switched]
    for one in driven.switches:
        told = as_json.event(one, 0, 1000)["event"]
        assert told["text"][-1].endswith(".")


def test_one_of_many_says_that_it_did_not_go_where_all_go():
    delays = {FRA: stepped(30.0, 60.0, None), NYC: steady(52.0), AMS: steady(32.0)}
    told = []
    for within in (0.5, 1e6):  # the best as good as surely; and the first number drawn is a low one
        driven = Driven(delays, settings=Settings(gate=1000.0, failover_within=within)).run(64.0)
        told.append(flat(why(driven)))
    assert "; ams1/wg0 was the cheapest path that could be used, at 3" in told[0]
    assert re.search(
        r"; nyc1/wg0 was taken, at 5\d\.\d ms: "
        r"drawn among those nearly as good, so that not all gateways go to the best, at 3\d\.\d ms\.",
        told[1],
    )
    assert "Outlook: held back by the gate: ams1/wg0 is 2" in told[1]
