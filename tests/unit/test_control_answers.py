"""Every answer to an operator's order, as steerctl prints it: `tests/golden/orders.txt`, to be read aloud.

STEERD_GOLDEN=write writes it anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from steerd.control.requests import declined, given, order
from steerd.control.server import RefusedError
from steerd.core.effects import Declined
from steerd.core.events import Link, Order, PopState, Verb
from steerd.core.settings import PathId, PolicyId, PolicySettings, WhenNone
from tests.unit.driven import Driven, steady

GOLDEN = Path(__file__).parents[1] / "golden" / "orders.txt"
DELAYS = {"fra1/wg0": steady(30.0), "ams1/wg0": steady(40.0), "par1/wg0": steady(50.0)}


def asked(words: str) -> dict[str, object]:
    """The request of `steerctl WORDS`."""
    verb, *rest = words.split()
    options: dict[str, object] = {}
    if "--hard" in rest:
        rest.remove("--hard")
        options["hard"] = True
    if "--for" in rest:
        at = rest.index("--for")
        options["for"], rest[at:] = rest[at + 1], []
    names = ("pop",) if verb in ("drain", "undrain") else ("policy", "pop")
    return {"verb": verb, **dict(zip(names, rest, strict=False)), **options}


def answer(driven: Driven, words: str) -> str:
    pops = {path.partition("/")[0] for path in driven.delays}
    policies = {policy.policy for policy in driven.settings.policies}
    try:
        wanted = order(asked(words), driven.now, pops=pops, policies=policies)
    except RefusedError as error:
        return f"error: {error}"
    before = driven.view()
    for effect in driven.feed(wanted):
        if isinstance(effect, Declined):
            return f"error: {declined(wanted, effect.reason, before)}"
    return given(wanted, driven.now, before, driven.view())


def scenes() -> Iterator[str]:
    def scene(title: str, when_none: WhenNone = WhenNone.KEEP) -> Driven:
        nonlocal driven
        lines.append(f"\n# {title}")
        driven = Driven(DELAYS, policies=(PolicySettings(PolicyId("default"), when_none=when_none),)).run(30.0)
        return driven

    def ask(*orders: str) -> None:
        for words in orders:
            lines.extend([f"$ steerctl {words}", answer(driven, words)])

    lines: list[str] = []
    driven = Driven(DELAYS)
    scene("fra1 is in use, ams1 and par1 are up")
    ask("drain fra1 --for 2m", "drain ams1", "drain par1", "undrain fra1", "undrain ams1", "undrain ams1")
    scene("the policy blocks where nothing is left", WhenNone.BLOCK)
    ask("drain ams1", "drain par1", "drain fra1", "undrain par1")
    scene("pins")
    ask("pin default ams1 --for 1h", "pin default par1 --hard", "unpin default", "unpin default")
    ask("drain par1", "pin default par1")
    scene("the PoP itself and somebody else drain it")
    driven.feed(PopState("fra1", accepting=False))
    driven.feed(Order(Verb.DRAIN, "ams1", origin="signed by alice"))
    ask("undrain ams1", "undrain fra1")
    scene("ams1's device is gone")
    driven.feed(Link(PathId("ams1/wg0"), up=False, why="device wg0 does not exist"))
    ask("pin default ams1", "pin default ams1 --hard")
    scene("what is not there, and what is no time")
    ask("drain fra", "pin defalt ams1", "pin default", "drain fra1 --for 0s", "drain fra1 --for 1y", "drain")
    yield from lines


def test_every_answer_is_as_it_was_read_aloud() -> None:
    text = "\n".join(scenes()).strip() + "\n"
    if os.environ.get("STEERD_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
