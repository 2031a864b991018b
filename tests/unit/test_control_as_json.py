"""What operators read: the JSON, the sentences, the tables. Golden texts are what the tables look like."""

import json
from dataclasses import replace

import pytest

from steerd.control import as_json, as_text
from steerd.control.parts import probing
from steerd.control.parts.history import history
from steerd.control.requests import order, since, traced
from steerd.control.server import RefusedError
from steerd.core.effects import Switched
from steerd.core.events import Order, PathMtu, Verb
from steerd.core.memory import Standing
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState, Reason
from steerd.core.views import (
    CandidateView,
    Directions,
    DrainView,
    Finding,
    PathView,
    PolicyView,
    ProbingView,
    TunnelView,
    View,
)
from steerd.status.snapshot import Snapshot
from steerd.text.times import milliseconds, span

FRA, AMS, NYC = PathId("fra1/wg-fra1"), PathId("ams1/lte"), PathId("nyc1/wg-nyc1")


def terms(rtt: float, jitter: float, loss: float = 0.0, **more: float) -> dict[str, float]:
    parts = {"rtt": rtt, "jitter": jitter, "loss": loss, "load": 0.0, "backbone": 0.0, "bias": 0.0}
    return {**parts, "total": rtt + jitter + loss, **more}


SWITCHED = Switched(
    event_id="1700000000-3",
    policy=PolicyId("default"),
    old=AMS,
    new=FRA,
    reason=Reason.BETTER,
    at=900.0,
    rule="quick",
    evidence={
        AMS: terms(38.0, 3.25, 2.0, samples=400.0),
        FRA: terms(30.0, 1.0, samples=410.0),
    },
    excluded={NYC: "region us is not among de, nl"},
    margin={"gain": 12.25, "price": 100.0, "needed": 5.2},
)


def path(id_: PathId, **changes: object) -> PathView:
    known = PathView(
        path=id_, pop=id_.split("/")[0], uplink="eth0", state=PathState.UP, reason="answers", since=3600.0, rtt=30.04,
        sd=0.8, jitter=1.0, loss=0.0, n=410, age=0.42, every=1.0, patience=0.06, hold=0.0,
    )  # fmt: skip
    return replace(known, **changes)


POLICY = PolicyView(
    policy=PolicyId("default"),
    state=PolicyState.STEERING,
    choice=FRA,
    runner_up=AMS,
    wanted=FRA,
    error=None,
    since=100.0,
    pin=None,
    pin_hard=False,
    pin_for=None,
    candidates=(
        CandidateView(FRA, terms(30.0, 1.0), None, {}),
        CandidateView(AMS, terms(38.0, 3.25, 2.0), "down: 3 probes in a row unanswered", {}),
        CandidateView(NYC, {}, "region us is not among de, nl", {}),
    ),
    last=SWITCHED,
    outlook="no rival may be used now",
    rule=Standing("quick", 90.0, {"quick": 0.0, "work-function": 150.0, "last-sample": 4.0, "patient": 30.0}),
)
VIEW = View(
    now=1000.0,
    epoch=1700000000,
    paths=(
        path(FRA),
        path(
            AMS, state=PathState.DOWN, reason="3 probes in a row unanswered", rtt=38.0, loss=0.125, age=75.0, hold=12.0
        ),
        path(NYC, state=PathState.SUSPECT, reason="nothing heard yet", rtt=None, sd=None, jitter=None, age=None, n=0),
    ),
    policies=(POLICY,),
    drains=(DrainView("nyc1", "operator", 3000.0),),
    declined={},
)

STATUS = """\
gateway gw1, steerd 0.1.0, epoch 1700000000

POLICY   STATE       CHOICE        RUNNER-UP  SINCE  RULE   PIN
default    steering  fra1/wg-fra1  ams1/lte   1m40s  quick  -

PATH          STATE          RTT  JITTER    LOSS     COST  HEARD  USED BY  NOTE
fra1/wg-fra1    up       30.0 ms  1.0 ms   0.0 %  31.0 ms   0.4s  default
ams1/lte      ! down     38.0 ms  1.0 ms  12.5 %  43.2 ms  1m15s  -        3 probes in a row unanswered
nyc1/wg-nyc1  ! suspect        -       -   0.0 %        -      -  -        nothing heard yet

DRAINED  BY        LEFT
nyc1     operator  for 50m00s"""

WHY = """\
Policy default has used fra1/wg-fra1 for 1m40s; no other path stands by.
Of 4 rules it follows quick, which has led for 1m30s.
Over about the last hour quick and last-sample would have cost least; the others beyond that:
  patient 0.3 switches, work-function 1.5 switches.

Decision 1700000000-3, 1m40s ago: it moved from ams1/lte to fra1/wg-fra1.
ams1/lte had become 12.2 ms slower than fra1/wg-fra1. Staying 33 s longer would have cost 4.0 times
  a switch, and it is not noise: 5.2 ms are enough.

Outlook: no rival may be used now.

Cannot be used now:
  ams1/lte: down: 3 probes in a row unanswered
  nyc1/wg-nyc1: region us is not among de, nl"""

DETAILS = """\
  cost in ms, now   rtt  jitter  loss  total
  fra1/wg-fra1     30.0     1.0   0.0   31.0
  ams1/lte         38.0     3.2   2.0   43.2

Decision 1700000000-3:
The rule quick compared: gain 12.2 ms, price 100.0 ms*s, needed 5.2 ms.
  cost in ms, then   rtt  jitter  loss  total  samples
  fra1/wg-fra1      30.0     1.0   0.0   31.0      410
  ams1/lte          38.0     3.2   2.0   43.2      400
Ruled out then:
  nyc1/wg-nyc1  region us is not among de, nl

  rule           costs beyond the cheapest, ms*s  in switches
  quick (leads)                              0.0         0.00
  last-sample                                4.0         0.04
  patient                                   30.0         0.30
  work-function                            150.0         1.50
  Another leads once it has cost 2 switches less.

Cannot be used now:
  ams1/lte      down: 3 probes in a row unanswered
  nyc1/wg-nyc1  region us is not among de, nl"""


def as_sent(answer: dict) -> dict:
    return json.loads(json.dumps(answer, allow_nan=False))


def test_status_as_text():
    answer = as_sent(as_json.status(Snapshot(VIEW, gateway="gw1")))
    assert as_text.status(answer, colour=False) == STATUS
    coloured = as_text.status(answer, colour=True).splitlines()
    assert [line[:5] for line in coloured if line.startswith("\x1b")] == [
        "\x1b[32m",
        "\x1b[32m",
        "\x1b[31m",
        "\x1b[33m",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 300])
def test_on_a_terminal_it_is_as_wide_as_that_and_notes_stand_below_where_there_is_no_room(width):
    why = "because " * 20
    long = replace(VIEW, paths=(path(FRA), path(AMS, state=PathState.DOWN, reason=why)))
    text = as_text.status(as_sent(as_json.status(Snapshot(long))), colour=False, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "! down" in text
    assert ("HEARD" in text) == (width > 60)
    assert " ".join(text.split()).count(why.strip()) == 1  # wrapped, and nothing of it lost
    assert ("USED BY  NOTE" in text) == (width == 300)


def test_what_is_piped_is_never_cut():
    long = replace(VIEW, paths=(path(AMS, state=PathState.DOWN, reason="because " * 20 + "it is so"),))
    assert as_text.status(as_sent(as_json.status(Snapshot(long)))).count("because because it is so\n") == 1


def test_a_path_that_was_down_says_how_long_it_ranks_last():
    held = replace(VIEW, paths=(path(FRA, hold=12.0),))
    assert "default  was down: ranks last for 12s" in as_text.status(
        as_sent(as_json.status(Snapshot(held))), colour=False
    )


@pytest.mark.parametrize(
    ("size", "hold", "note"),
    [
        (PathMtu(FRA, 1380, 1420), 0.0, "MTU 1380 of 1420: large packets vanish"),
        (PathMtu(FRA, 1380, 1420, told=True), 0.0, "MTU 1380 of 1420"),
        (PathMtu(FRA, 1380, 1420, told=True), 12.0, "MTU 1380 of 1420; was down: ranks last for 12s"),
        (PathMtu(FRA, 1420, 1420), 0.0, ""),
    ],
)
def test_a_path_says_how_large_packets_may_be(size, hold, note):
    answer = as_sent(as_json.status(Snapshot(replace(VIEW, paths=(path(FRA, size=size, hold=hold),)))))
    text = as_text.status(answer, colour=False).splitlines()
    (line,) = (line for line in text if line.startswith(FRA))
    assert ("! fra1/wg-fra1: MTU 1380 of 1420: large packets vanish" in text) == size.black_hole
    assert line.endswith(f"default  {note}".rstrip())
    (one,) = answer["paths"]
    assert (one["mtu"], one["device_mtu"], one["black_hole"]) == (size.mtu, size.device_mtu, size.black_hole)


@pytest.mark.parametrize(
    ("view", "note"),
    [
        (TunnelView("KEY", 34.2, 10, 20), "handshake 34s ago"),
        (TunnelView("KEY", None, 0, 148, "none succeeds"), "no handshake yet"),
        (None, ""),
    ],
)
def test_a_path_tells_of_its_tunnel(view, note):
    tunnels = {} if view is None else {FRA: view}
    answer = as_sent(as_json.status(Snapshot(replace(VIEW, paths=(path(FRA),)), tunnels=tunnels)))
    (line,) = (one for one in as_text.status(answer, colour=False).splitlines() if one.startswith(FRA))
    assert line.endswith(f"default  {note}".rstrip())
    (one,) = answer["paths"]
    assert one["tunnel"] == (
        view
        and {
            "peer": "KEY",
            "handshake_age_s": view.handshake,
            "rx_bytes": view.rx,
            "tx_bytes": view.tx,
            "stale": view.stale,
        }
    )


def test_why_has_the_penalty_of_a_black_hole():
    evidence = {AMS: terms(20.0, 1.0, mtu=100.0), FRA: terms(30.0, 1.0, mtu=0.0)}
    evidence[AMS]["total"] = 121.0
    policy = replace(POLICY, last=SWITCHED._replace(evidence=evidence))
    answer = as_json.why(Snapshot(replace(VIEW, policies=(policy,))))["policies"][0]
    assert "  cost in ms, then   rtt  jitter    mtu  total" in answer["details"]
    assert "  ams1/lte          20.0     1.0  100.0  121.0" in answer["details"]
    assert any("slower" in line or "large packets vanish on it" in line for line in answer["text"])


def test_status_as_json():
    answer = as_sent(as_json.status(Snapshot(VIEW, gateway="gw1", price=100.0)))
    assert answer["policies"] == [
        {
            "policy": "default", "state": "steering", "choice": FRA, "runner_up": AMS, "wanted": FRA, "since_s": 100.0,
            "dwell_s": 0.0, "service": None,
            "pin": None, "shares": [], "error": None, "paths": 3, "scouts": 0, "packets": None,
            "rule": {
                "leader": "quick", "leads_for_s": 90.0,
                "costs_ms_s": {"quick": 0.0, "work-function": 150.0, "last-sample": 4.0, "patient": 30.0},
                "costs_switches": {"quick": 0.0, "work-function": 1.5, "last-sample": 0.04, "patient": 0.3},
            },
        }
    ]  # fmt: skip
    assert answer["paths"][0] == {
        "path": FRA, "pop": "fra1", "uplink": "eth0", "state": "up", "reason": "answers", "since_s": 3600.0,
        "rtt_ms": 30.04, "rtt_sd_ms": 0.8, "jitter_ms": 1.0, "loss": 0.0, "samples": 410, "age_s": 0.42, "every_s": 1.0,
        "hold_s": 0.0, "mtu": None, "device_mtu": None, "black_hole": False, "backbone_ms": {},
        "cost_ms": {"default": 31.0},
        "used_by": ["default"], "staying": None, "scout": False, "tunnel": None, "underlay": None,
    }  # fmt: skip
    assert answer["paths"][2]["rtt_ms"] is None
    assert answer["drains"] == [{"pop": "nyc1", "origin": "operator", "left_s": 3000.0}]


def test_why_as_text_and_json():
    answer = as_sent(as_json.why(Snapshot(VIEW, price=100.0)))
    assert as_text.why(answer) == WHY
    assert as_text.why(answer, verbose=True) == f"{WHY}\n\n{DETAILS}"
    del answer["policies"][0]["details"]  # as an earlier daemon answers
    assert as_text.why(answer, verbose=True) == WHY
    last = answer["policies"][0]["last"]
    assert (last["from"], last["to"], last["reason"], last["rule"], last["gain_ms"]) == (
        AMS,
        FRA,
        "better",
        "quick",
        12.25,
    )
    assert last["evidence"][FRA]["samples"] == 410
    assert as_json.why(Snapshot(VIEW), "default") == as_json.why(Snapshot(VIEW))
    with pytest.raises(RefusedError, match='there is no policy "defualt"; did you mean "default"'):
        as_json.why(Snapshot(VIEW), "defualt")
    for odd in (5, [], {}):
        with pytest.raises(RefusedError, match="must name a policy"):
            as_json.why(Snapshot(VIEW), odd)


def test_why_shows_how_a_call_sounds_and_what_is_preferred():
    evidence = {
        AMS: terms(38.0, 3.25, 2.0, samples=400.0, mos=4.104),
        FRA: {**terms(30.0, 1.0, samples=410.0, mos=4.386), "prefer": -5.0},
    }
    answer = as_json.why(
        Snapshot(replace(VIEW, policies=(replace(POLICY, last=SWITCHED._replace(evidence=evidence)),)))
    )
    details = answer["policies"][0]["details"]
    then = details[details.index("Decision 1700000000-3:") :]
    shown = [line.split() for line in then if "4." in line or "cost in ms" in line]
    assert shown[0][4:] == ["rtt", "jitter", "loss", "prefer", "total", "mos", "samples"]
    assert shown[1] == [FRA, "30.0", "1.0", "0.0", "-5.0", "31.0", "4.39", "410"]
    assert shown[2][-2:] == ["4.10", "400"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choice": None, "state": PolicyState.NONE, "last": None}, "Policy default uses no path."),
        ({"state": PolicyState.LOCAL_OUTAGE}, "the fault is on this side"),
        ({"state": PolicyState.HELD}, "the last choice is held."),
        ({"state": PolicyState.HELD, "choice": None}, "until one is, its traffic goes nowhere."),
        ({"pin": "fra1", "pin_hard": True, "pin_for": 3600.0}, "It is pinned to fra1, hard, for another 1h00m."),
        ({"pin": "fra1"}, "It is pinned to fra1, while that is usable, until unpinned."),
        ({"error": "by wan", "mismatch": "by wan"}, "Its packets do not go that way: by wan."),
        ({"error": "no such device"}, "The kernel refused the last change: no such device."),
        ({"last": SWITCHED._replace(rule="other", margin={"x": 1.0})}, "The rule other decided."),
        (
            {"last": SWITCHED._replace(rule="confident", margin={"gain": 25.0, "stderr": 0.3, "price": 100.0})},
            "ams1/lte had become 25.0 ms slower than fra1/wg-fra1 (rule: confident).",  # kept by version 0.1
        ),
    ],
)
def test_why_in_other_cases(changes, said):
    view = replace(VIEW, policies=(replace(POLICY, **changes),))
    assert said in as_text.why(as_sent(as_json.why(Snapshot(view))))


def test_infinities_do_not_reach_json():
    view = replace(VIEW, paths=(path(FRA, rtt=float("inf"), loss=float("nan")),))
    assert as_sent(as_json.status(Snapshot(view)))["paths"][0]["rtt_ms"] is None


def test_history():
    row = {
        "wall_ms": 1_700_000_123_456, "event_id": "1-2", "policy": "default", "old": AMS, "new": FRA,
        "reason": "better", "rule": "quick", "evidence": SWITCHED.evidence,
    }  # fmt: skip
    answer = as_sent(history([row, {**row, "old": None, "evidence": {}}]))
    assert answer["switches"][0] == {
        "at": "2023-11-14T22:15:23.456Z", "wall_ms": 1_700_000_123_456, "event_id": "1-2", "policy": "default",
        "from": AMS, "to": FRA, "reason": "better", "by": None, "rule": "quick", "gain_ms": 12.25,
        "trace": None,
    }  # fmt: skip
    assert answer["switches"][1]["gain_ms"] is None
    lines = as_text.history(answer).splitlines()
    assert lines[0].split() == ["WHEN", "POLICY", "FROM", "TO", "REASON", "RULE", "GAIN", "EVENT"]
    assert lines[1].endswith("default  ams1/lte  fra1/wg-fra1  better  quick  12.2 ms  1-2")
    assert as_text.history({"switches": []}) == "No switch."


def test_history_says_when_packets_went_wrong_and_for_how_long():
    began = {"wall_ms": 1_700_000_000_000, "policy": "default", "why": "most go nowhere", "lasted": None}
    ended = {**began, "wall_ms": 1_700_000_061_250, "lasted": 61.25}
    answer = as_sent(history([], [ended, began, {"policy": "broken"}]))
    assert answer["packets"] == [
        {"at": "2023-11-14T22:14:21.250Z", "wall_ms": 1_700_000_061_250, "policy": "default", "wrong": False,
         "why": "most go nowhere", "lasted_s": 61.25},
        {"at": "2023-11-14T22:13:20.000Z", "wall_ms": 1_700_000_000_000, "policy": "default", "wrong": True,
         "why": "most go nowhere", "lasted_s": None},
    ]  # fmt: skip
    first, _, second, third = as_text.history(answer).splitlines()
    assert first == "No switch."
    assert second.endswith("  default: packets are right again, after 1m01s")
    assert third.endswith("  ! default: most go nowhere")


def hop(number: int, *addresses: str, answered: int = 3, best: float | None = None, **more: object) -> dict:
    known = {
        "hop": number, "sent": 3, "answered": answered, "addresses": list(addresses), "best_ms": best, "mean_ms": best,
        "error": None, "target": False,
    }  # fmt: skip
    return {**known, **more}


def leg(*hops: dict, **more: object) -> dict:
    known = {
        "family": 4, "target": "198.51.100.7", "source": "192.0.2.1", "hops": list(hops), "reached": True,
        "mtu": {"state": "found", "size": 1400, "device": 1500, "reported_by": "203.0.113.2"}, "refused": None,
        "verdict": "v",
    }  # fmt: skip
    return {**known, **more}


TRACE = {
    "path": "ams1/lte", "device": "wwan0", "method": "tcp", "port": 443, "took_s": 2.31, "error": None,
    "verdict": "answers until hop 1 (203.0.113.1), nothing beyond",
    "legs": [
        leg(
            hop(1, "203.0.113.1", best=1.25),
            *(hop(number, answered=0) for number in range(2, 5)),
            hop(5, "203.0.113.2", "203.0.113.3", answered=2, best=20.0, error="prohibited"),
            hop(6, "198.51.100.7", best=123.0, target=True),
        ),
    ],
}  # fmt: skip

TRACED = """\
ams1/lte: by tcp port 443 through wwan0, in 2.3s

IPv4 to 198.51.100.7 from 192.0.2.1
HOP  ADDRESS                   ANSWERED     BEST     MEAN
  1  203.0.113.1                 3 of 3  1.2 ms   1.2 ms
2-4  -                           0 of 9       -        -
  5  203.0.113.2, 203.0.113.3    2 of 3  20.0 ms  20.0 ms  prohibited
  6  198.51.100.7                3 of 3   123 ms   123 ms  target
MTU: 1400, says 203.0.113.2 (the device's is 1500)

Verdict: answers until hop 1 (203.0.113.1), nothing beyond."""


def test_a_trace_as_text():
    answer = as_sent(as_json.trace("ams1", [TRACE, {"path": "ams1/fibre", "error": "the device eth9 is not there"}]))
    assert answer["pop"] == "ams1"
    text = as_text.trace(answer)
    assert [line.split() for line in text.splitlines()[:-2]] == [line.split() for line in TRACED.splitlines()]
    assert text.endswith("\n\nams1/fibre: not traced: the device eth9 is not there")


@pytest.mark.parametrize(
    ("mtu", "said"),
    [
        (None, "MTU: not measured"),
        ({"state": "found", "size": 1500, "device": 1500, "reported_by": None}, "MTU: 1500, the device's"),
        ({"state": "found", "size": 1400, "device": 1500, "reported_by": None}, "MTU: 1400 (the device's is 1500)"),
        (
            {"state": "unknown", "size": None, "device": 1500, "reported_by": None},
            "MTU: unknown, the target does not answer echo requests",
        ),
        (
            {"state": "black-hole", "size": 1400, "device": 1500, "reported_by": None},
            "MTU: 1400, larger packets vanish without an error (the device's is 1500)",
        ),
    ],
)
def test_what_fits_through_as_text(mtu, said):
    text = as_text.trace(as_json.trace("ams1", [{**TRACE, "legs": [leg(mtu=mtu)]}]))
    assert said in text.splitlines()


def test_a_trace_is_never_wider_than_100_columns():
    addresses = [f"2001:db8:1234:5678:90ab:cdef:1234:{n:x}" for n in (0x1111, 0x2222, 0x3333)]
    wide = {**TRACE, "path": "p" * 120, "verdict": "word " * 60, "legs": [leg(hop(1, *addresses))]}
    lines = as_text.trace(as_json.trace("ams1", [wide])).splitlines()
    told = as_text.why(as_json.why(Snapshot(VIEW), traces={"1700000000-3": {**wide, "after_s": 2.0}})).splitlines()
    lines += told
    assert sum(line.strip().startswith("HOP") for line in lines) == 2
    assert max(map(len, lines)) == 100


def test_nothing_that_could_be_traced_is_a_refusal():
    with pytest.raises(RefusedError, match="ams1/lte: the device wwan0 is down; ams1/fibre: no"):
        as_json.trace(
            "ams1", [{"path": "ams1/lte", "error": "the device wwan0 is down"}, {"path": "ams1/fibre", "error": "no"}]
        )


def test_why_tells_the_trace_of_the_path_before():
    answer = as_sent(
        as_json.why(Snapshot(VIEW), traces={"1700000000-3": {**TRACE, "after_s": 2.31}, "1700000000-2": {}})
    )
    lines = as_text.why(answer).splitlines()
    at = lines.index("Trace of ams1/lte, 2.3s after: answers until hop 1 (203.0.113.1), nothing beyond.")
    assert lines[at - 1] == ""
    assert lines[at + 1] == "  IPv4 to 198.51.100.7"
    assert lines[at + 3].split() == ["1", "203.0.113.1", "3", "of", "3", "1.2", "ms", "1.2", "ms"]
    assert answer["policies"][0]["last"]["trace"]["verdict"] == TRACE["verdict"]
    row = {"wall_ms": 1, "event_id": "1-2", "policy": "default", "trace": {**TRACE}}
    assert history([row])["switches"][0]["trace"] == TRACE["verdict"]


POPS, POLICIES = {"fra1", "ams1"}, {"default"}
PATHS = {"fra1": ["fra1/wg-fra1"], "ams1": ["ams1/fibre", "ams1/lte"]}


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({"pop": "ams1"}, ("ams1", ["ams1/fibre", "ams1/lte"])),
        ({"pop": "ams1", "path": "lte"}, ("ams1", ["ams1/lte"])),
        ({"pop": "ams1", "path": "ams1/lte"}, ("ams1", ["ams1/lte"])),
    ],
)
def test_what_is_to_be_traced(request_, found):
    assert traced(request_, PATHS) == found


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"pop": "ams2"}, 'there is no PoP "ams2"; did you mean "ams1"?'),
        ({}, "must name a PoP"),
        ({"pop": "ams1", "path": "fiber"}, 'there is no path of ams1 "fiber"; did you mean "fibre"?'),
        ({"pop": "ams1", "path": "fra1/wg-fra1"}, 'there is no path of ams1 "fra1/wg-fra1"; known: fibre, lte'),
        ({"pop": "ams1", "path": 5}, "must name a path of ams1"),
        ({"pop": "ams1", "path": []}, "must name a path of ams1"),
    ],
)
def test_what_can_not_be_traced(request_, said):
    with pytest.raises(RefusedError) as caught:
        traced(request_, PATHS)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"verb": "drain", "pop": "fra1"}, Order(Verb.DRAIN, "fra1")),
        ({"verb": "drain", "pop": "fra1", "for": "1h"}, Order(Verb.DRAIN, "fra1", until=3610.0)),
        ({"verb": "undrain", "pop": "fra1"}, Order(Verb.UNDRAIN, "fra1")),
        ({"verb": "unpin", "policy": "default"}, Order(Verb.UNPIN, "default")),
        (
            {"verb": "pin", "policy": "default", "pop": "ams1", "for": 60, "hard": True},
            Order(Verb.PIN, "default", "ams1", 70.0, hard=True),
        ),
    ],
)
def test_orders(request_, expected):
    assert order(request_, 10.0, pops=POPS, policies=POLICIES) == expected


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"verb": "drain", "pop": "fra2"}, 'there is no PoP "fra2"; did you mean "fra1"?'),
        ({"verb": "drain"}, "must name a PoP"),
        ({"verb": "pin", "policy": "x", "pop": "ams1"}, 'there is no policy "x"; known: default'),
        ({"verb": "drain", "pop": "fra1", "for": "soon"}, "for: must be a duration"),
        ({"verb": "drain", "pop": "fra1", "for": 0}, "for: must be more than 0 seconds"),
        ({"verb": "drain", "pop": "fra1", "for": "1000d"}, "at most 366d"),
    ],
)
def test_orders_that_make_no_sense(request_, said):
    with pytest.raises(RefusedError) as caught:
        order(request_, 10.0, pops=POPS, policies=POLICIES)
    assert said in str(caught.value)


def test_how_far_back():
    assert since({"verb": "history"}) == 86400.0
    assert since({"verb": "history", "since": "1h"}) == 3600.0
    with pytest.raises(RefusedError):
        since({"since": "long"})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (192, "3m12s"),
        (7500, "2h05m"),
        (273600, "3d4h"),
    ],
)
def test_spans(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.423, "0.42 ms"), (12.34, "12.3 ms"), (345.6, "346 ms")])
def test_milliseconds(value, text):
    assert milliseconds(value) == text


PROBED = ProbingView(
    method="udp",
    targets=("192.0.2.1", "fra1.example.net"),
    every=2.0,
    local_queue=0.0631,
    findings={Finding.LOCAL: "a firewall on this machine drops the probes (EPERM)"},
    directions=(Directions(0.25, 0.0, 0.001, None), None),
    names=("fra1.example.net: not resolved: there is no such name",),
)


def test_status_tells_how_a_path_is_probed_and_its_table_what_is_worth_a_line():
    path = probing.words(PROBED, {"reply": 7, "local": 3})
    assert path == {
        "method": "udp",
        "targets": ["192.0.2.1", "fra1.example.net"],
        "names": ["fra1.example.net: not resolved: there is no such name"],
        "every_s": 2.0,
        "local_queue_ms": 63.1,
        "probes": {"reply": 7, "local": 3},
        "findings": {"local": "a firewall on this machine drops the probes (EPERM)"},
        "directions": [{"loss_out": 0.25, "loss_back": 0.0, "variation_out_ms": 1.0, "variation_back_ms": None}, None],
    }
    assert probing.notes({"path": "fra1/wg0", **path}) == [
        "! fra1/wg0: a firewall on this machine drops the probes (EPERM)",
        "! fra1/wg0: its probes wait 63.1 ms in this machine's own queue; no part of its RTT",
        "  fra1/wg0: loses 25.0 % on the way out, 0.0 % on the way back",
    ]
    assert probing.words(None, {}) == {}
    assert probing.notes({"path": "fra1/wg0"}) == []


def test_why_tells_what_should_be_known_of_the_probing():
    answer = as_json.why(Snapshot(VIEW, probing={FRA: PROBED}))
    text = "\n".join(answer["policies"][0]["text"])
    assert "Of how its paths are probed:\n  fra1/wg-fra1  a firewall on this machine drops the probes (EPERM)" in text
    assert text.count("firewall") == 1
