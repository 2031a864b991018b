"""Whatever a broker sends, nothing of it crashes, is taken, or piles up."""

import logging
import random
import tracemalloc
import zlib
from collections import Counter

from steerd.core.memory import Memory
from steerd.share.messages import JSON, ZLIB
from steerd.share.orders import REASONS, Orders
from steerd.share.reports import Reports
from steerd.share.signing import WantedState, generate, public_text, sign, signers
from steerd.share.topics import Topics

MESSAGES = 5_000
WALL = 1_800_000_000.0
TOPICS = Topics("acme", "eu", "gw1")
ROOT = "steer/v1/acme"
KEY = generate()
REPORT = b'{"v":1,"pop":"fra1","epoch":5,"seq":%d,"accepting":false,"load_ppm":500000}'
JUNK = (b"", b"{}", b"null", b"[" * 5000, b'{"v":1}', b"\x00" * 100, b"1e400", b'"' + b"\xff" * 9, b"{" * 300)


def seeds() -> list[tuple[str, bytes]]:
    at = int(WALL * 1000)
    fields = {"tenant": "acme", "counter": at, "nbf_ms": at, "exp_ms": at + 3_600_000}
    orders = [
        WantedState(**fields, to=to, **what)
        for to in ("all", "region/eu", "gw/gw1")
        for what in ({"pop": "fra1", "drained": True}, {"policy": "default", "pin": "ams1"})
    ]
    signed = [(f"{ROOT}/{order.topic}", sign(KEY, order)) for order in orders]
    return [*signed, (f"{ROOT}/pop/fra1/state", REPORT % 9), (f"{ROOT}/pop/ams1/state", REPORT % 9)]


def test_random_and_mutated_messages_change_nothing(caplog):
    caplog.set_level(logging.CRITICAL)  # what pytest would keep of the log is not ours
    draw = random.Random(7)
    refused: Counter[tuple[str, str]] = Counter()
    said = []
    clock = [0.0]
    reports = Reports(
        TOPICS, {"fra1", "ams1"}, said.append, lambda source, reason, _: refused.update([(source, reason)])
    )
    orders = Orders(
        TOPICS, signers({public_text(KEY.verify_key): "alice"}), pops=("fra1", "ams1", "nyc1"), policies=("default",),
        refuse=lambda source, reason, _: refused.update([(source, reason)]), wall=lambda: WALL, clock=lambda: clock[0],
    )  # fmt: skip
    genuine = seeds()
    sound = {payload for _, payload in genuine}
    compressed = [zlib.compress(REPORT % 9), zlib.compress(b"0" * 1_000_000)]
    sound.update(compressed)
    tracemalloc.start()
    for number in range(MESSAGES):
        clock[0] += 0.05
        topic, payload = draw.choice(genuine)
        data = bytearray(draw.choice((payload, payload, *JUNK, *compressed, draw.randbytes(draw.randrange(400)))))
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(data) + 1)
            data[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        sent = bytes(data)
        if sent in sound or b'"accepting":false' in sent:
            continue  # what the PoP itself may say; whether it does is not signed
        kind = draw.choice((JSON, JSON, None, ZLIB, "text/plain", "\u2603"))
        if draw.random() < 0.1:
            topic += draw.choice(("/x", "x", "\u2603", "/", "x" * 1000))
        if "/ctl/" in topic:
            assert not orders.take(topic, sent, kind)
        else:
            reports.take(topic, sent, kind)
        if number == MESSAGES // 10:
            before = tracemalloc.get_traced_memory()[0]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert said == []
    assert orders.due(Memory(), 0.0) == []
    assert not orders.keep()
    assert after - before < 64_000
    assert {reason for source, reason in refused if source == "order"} <= set(REASONS)
    assert {"malformed", "signature", "content type", "unknown PoP"} <= {reason for _, reason in refused}
    assert len(refused) < 30
