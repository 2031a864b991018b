"""Signed orders: which are taken, what is refused of the others, and what the engine is told."""

import json
from base64 import b64encode
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerd.core.events import Order, Verb
from steerd.core.memory import DrainMemory, Memory, PinMemory
from steerd.core.settings import PolicyId
from steerd.share import signing
from steerd.share.orders import BURST, REASONS, Orders
from steerd.share.signing import WantedState, generate, public_text, sign, signers
from steerd.share.topics import Topics

TOPICS = Topics("acme", "eu", "gw1")
ALICE, BOB, MALLORY = generate(), generate(), generate()
TRUSTED = signers({public_text(ALICE.verify_key): "alice", public_text(BOB.verify_key): ""})
POPS = ("ams1", "fra1", "fra2", "lon1", "nyc1", "par1")
WALL = 1_800_000_000.0
ALICES = "signed by alice"


class Fleet:
    """Orders with clocks of their own, and what they refused."""

    def __init__(self, kept=None, trusted=TRUSTED, pops=POPS):
        self.wall = self.clock = WALL
        self.refused = Counter()
        self.orders = Orders(
            TOPICS, trusted, pops=pops, policies=("default", "voice"), kept=kept,
            refuse=lambda _, reason, __: self.refused.update([reason]),
            wall=lambda: self.wall, clock=lambda: self.clock,
        )  # fmt: skip

    def send(self, payload, topic=None, kind="application/json"):
        return self.orders.take(topic or on(order()), payload, kind)

    def due(self, memory=None):
        return self.orders.due(memory or Memory(), 100.0)


def order(**fields):
    subject = {} if "policy" in fields else {"pop": "fra1", "drained": True}
    at = int((WALL + fields.pop("at", 0)) * 1000)
    return WantedState(**{
        "tenant": "acme", "to": "region/eu", "counter": at, "nbf_ms": at, "exp_ms": at + 7_200_000, **subject, **fields,
    })  # fmt: skip


def on(wanted):
    return f"steer/v1/acme/{wanted.topic}"


def test_a_signed_drain_is_given_to_the_engine_with_its_end_and_the_name_of_its_key():
    fleet = Fleet()
    assert fleet.send(sign(ALICE, order()))
    assert fleet.due() == [Order(Verb.DRAIN, "fra1", None, 100.0 + 7200, ALICES)]
    there = Memory(drains=(DrainMemory("fra1", 7198.0, ALICES),))
    assert fleet.due(there) == []
    fleet.wall += 7201
    assert fleet.due(there) == [Order(Verb.UNDRAIN, "fra1", origin=ALICES)]
    assert not fleet.refused


@pytest.mark.parametrize("kind", [None, "", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_parameters_and_case_of_an_orders_content_type_do_not_matter(kind):
    assert Fleet().send(GOOD, kind=kind)


def changed(payload, before, after):
    assert before in payload
    return payload.replace(before, after)


GOOD = sign(ALICE, order())
BAD = {
    "malformed": [
        (b"{}", None), (b"x" * 2000, None), (GOOD[:-1], None), (b" " + GOOD, None), (bytes(range(256)), None),
        (sign(ALICE, order()).replace(b'"key":"', b'"key":"0'), None),
    ],
    "too large": [(GOOD + b" " * 4096, None)],
    "signature": [
        (changed(GOOD, b"true", b"false"), None),
        (changed(GOOD, b"7200000" if b"7200000" in GOOD else b'"exp_ms":1', b'"exp_ms":2'), None),
        (changed(GOOD, b'"v":1', b'"v": 1'), None),
    ],
    "unknown key": [(sign(MALLORY, order()), None)],
    "wrong audience": [
        (sign(ALICE, order(to="gw/gw2")), "steer/v1/acme/ctl/gw/gw1/pop/fra1"),
        (sign(ALICE, order(to="region/us")), None),
        (sign(ALICE, order()), "steer/v1/acme/ctl/all/pop/fra1"),
    ],
    "wrong subject": [(sign(ALICE, order(pop="ams1")), None), (sign(ALICE, order(policy="default", pin="fra1")), None)],
    "wrong tenant": [(sign(ALICE, order(tenant="other")), None)],
    "expired": [(sign(ALICE, order(at=-7201)), None)],
    "not yet valid": [(sign(ALICE, order(nbf_ms=int((WALL + 1) * 1000))), None), (sign(ALICE, order(at=301)), None)],
    "lasts too long": [(sign(ALICE, order(exp_ms=int((WALL + 32 * 86400) * 1000))), None)],
    "unknown PoP": [(sign(ALICE, order(pop="sfo1")), "steer/v1/acme/ctl/region/eu/pop/sfo1")],
    "unknown policy": [(sign(ALICE, order()), "steer/v1/acme/ctl/region/eu/policy/bulk")],
    "wrong topic": [
        (GOOD, "steer/v1/acme/ctl/region/us/pop/fra1"), (GOOD, "steer/v1/acme/ctl/region/eu/pop/fra1/x"),
        (GOOD, "steer/v1/acme/ctl/all/gw/fra1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("reason", "payload", "topic"), [(r, *case) for r, cases in BAD.items() for case in cases])
def test_each_forgery_is_refused_under_its_own_reason(reason, payload, topic):
    fleet = Fleet()
    assert not fleet.send(payload, topic)
    assert fleet.refused == {reason: 1}
    assert reason in REASONS
    assert fleet.due() == []


def test_an_earlier_order_does_not_come_back_not_even_after_a_restart_or_when_the_later_one_has_expired():
    early, late = sign(ALICE, order()), sign(BOB, order(at=10, drained=False, exp_ms=int((WALL + 60) * 1000)))
    fleet = Fleet()
    assert fleet.send(early)
    fleet.wall += 10
    assert fleet.send(late)
    assert fleet.due() == []
    assert not fleet.send(early)
    fleet.wall += 100
    again = Fleet(kept=fleet.orders.keep())
    again.wall = fleet.wall
    for one in (fleet, again):
        assert not one.send(early)
        assert one.due() == []
        assert one.refused["replayed"] >= 1


def test_what_an_earlier_version_kept_is_taken_up():
    assert len(Fleet(kept={on(order()): GOOD.decode()}).due()) == 1


def test_what_is_delivered_again_is_neither_new_nor_refused_and_an_empty_payload_takes_nothing_back():
    fleet = Fleet()
    assert [fleet.send(GOOD) for _ in range(2 * BURST)] == [True] + [False] * (2 * BURST - 1)
    assert not fleet.send(b"")
    assert len(fleet.due()) == 1
    assert not fleet.refused


def test_the_latest_word_counts_whomever_it_was_for_and_then_the_one_before_it():
    fleet = Fleet()
    here = order(to="gw/gw1", drained=False, at=5, exp_ms=int((WALL + 60) * 1000))
    fleet.wall += 5
    assert fleet.send(sign(ALICE, here), on(here))
    assert fleet.send(GOOD)
    assert fleet.due() == []
    fleet.wall += 60
    assert [one.verb for one in fleet.due()] == [Verb.DRAIN]


def test_at_most_a_third_of_the_pops_is_drained_the_earliest_first():
    fleet = Fleet()
    fleet.wall += 10
    for at, pop in enumerate(("par1", "nyc1", "ams1", "fra1")):
        wanted = order(pop=pop, at=at)
        assert fleet.send(sign(ALICE, wanted), on(wanted))
    assert [one.subject for one in fleet.due()] == ["par1", "nyc1"]
    assert fleet.refused == {"too many drained": 2}
    fleet.due()
    assert fleet.refused == {"too many drained": 2}
    back = order(pop="par1", drained=False, at=10)
    fleet.send(sign(ALICE, back), on(back))
    assert [one.subject for one in fleet.due()] == ["nyc1", "ams1"]
    alone = Fleet(pops=("fra1",))
    assert alone.send(GOOD)
    assert len(alone.due()) == 1  # the engine leaves the last one in use whoever asks


def test_a_pin_is_soft_and_gives_way_to_the_operators():
    fleet, pin = Fleet(), order(policy="voice", pin="ams1")
    assert fleet.send(sign(BOB, pin), on(pin))
    origin = f"signed by {signing.key_id(BOB.verify_key)}"
    assert fleet.due() == [Order(Verb.PIN, "voice", "ams1", 7300.0, origin, hard=False)]
    there = PinMemory(PolicyId("voice"), "ams1", False, 7200.0, origin)
    assert fleet.due(Memory(pins=(there,))) == []
    assert fleet.due(Memory(pins=(PinMemory(PolicyId("voice"), "fra1", True, None, "operator"),))) == []
    fleet.wall += 1
    free = order(policy="voice", pin=None, at=1)
    assert fleet.send(sign(BOB, free), on(free))
    assert fleet.due(Memory(pins=(there,))) == [Order(Verb.UNPIN, "voice", origin=origin)]


def test_whoever_is_no_longer_trusted_has_no_order_in_force():
    fleet = Fleet()
    fleet.send(GOOD)
    later = Fleet(kept=fleet.orders.keep(), trusted=signers({public_text(BOB.verify_key): "bob"}))
    assert later.refused == {"unknown key": 1}
    there = Memory(drains=(DrainMemory("fra1", 7200.0, ALICES), DrainMemory("ams1", None, "operator")))
    assert later.due(there) == [Order(Verb.UNDRAIN, "fra1", origin=ALICES)]


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_whatever_comes_nothing_but_what_was_signed_is_taken(data):
    fleet, payload = Fleet(), bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    took = fleet.send(bytes(payload))
    assert took == (payload == GOOD)
    assert bool(fleet.due()) == took


def test_keys_as_text_and_back():
    assert signing.secret(signing.secret_text(ALICE)) == ALICE
    for text in ("", "steerd-secret-key:", "steerd-secret-key:AAAA", b64encode(bytes(ALICE)).decode()):
        with pytest.raises(ValueError, match="secret key"):
            signing.secret(text)
    assert set(json.loads(GOOD)) == {"key", "sig", "order"}
    assert json.loads(sign(ALICE, order(policy="voice", pin=None)))["order"]["pin"] is None
