"""What steerctl can ask of the daemon: one table, which both ends read.

A new verb is a row here, a handler in `steerd.daemon` and, if its answer is more than a line, its text in
`steerd.control.as_text`.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from steerd.text.durations import parse, show

CONFIRM_MIN: Final = 1.0
CONFIRM_MAX: Final = 86400.0
LONG: Final = 130.0
"""Seconds that steerctl waits for what takes long: a little more than the daemon gives an answer."""

Answer = Mapping[str, Any]


class Argument(NamedTuple):
    """One argument of a verb: ``flags`` and ``options`` as argparse takes them. ``key``: what the request calls it;
    empty: it is no part of the request."""

    flags: tuple[str, ...]
    options: dict[str, Any]
    key: str = ""

    @property
    def name(self) -> str:
        """What argparse calls its value."""
        return str(self.options.get("dest", self.flags[-1].lstrip("-").replace("-", "_")))


class Verb(NamedTuple):
    """``words``: what it does, as help says it. ``shown``: its answer as text. ``timeout``: how long steerctl waits for
    the answer, in seconds. ``abandoned``: it changes nothing and takes long, so the daemon stops working on it when its
    client is gone. ``asks``: the verb that the daemon is asked; the verb's own name unless given."""

    name: str
    words: str
    arguments: tuple[Argument, ...] = ()
    shown: Callable[[Answer, argparse.Namespace], str] = lambda answer, _: _line(answer)
    timeout: float = 10.0
    abandoned: bool = False
    asks: str = ""

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        """What the daemon is sent for these arguments."""
        values = {one.key: getattr(options, one.name) for one in self.arguments if one.key}
        given = {key: value for key, value in values.items() if value is not None and value is not False}
        return {"verb": self.asks or self.name, **given}


def duration(text: str) -> float:
    """A time in seconds, more than 0, as an argument gives it."""
    try:
        seconds = parse(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not seconds > 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return seconds


def confirmable(seconds: float) -> float:
    """The same seconds. ValueError: too short to confirm anything in, or so long that it is forgotten."""
    if not CONFIRM_MIN <= seconds <= CONFIRM_MAX:
        raise ValueError(f"must be from {show(CONFIRM_MIN)} to {show(CONFIRM_MAX)}")
    return seconds


def _confirmable(text: str) -> float:
    try:
        return confirmable(duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _line(answer: Answer) -> str:
    return "\n".join([*answer.get("warnings", ()), str(answer.get("text", "done"))])


def _text(name: str, **keywords: str) -> Callable[[Answer, argparse.Namespace], str]:
    """By the function of this name in `steerd.control.as_text`, which is imported when there is an answer: `steerctl
    --help` is instant. ``keywords`` of it, with the arguments of the verb that they come from."""

    def shown(answer: Answer, options: argparse.Namespace) -> str:
        from steerd.control import as_text

        told: str = getattr(as_text, name)(answer, **{key: getattr(options, of) for key, of in keywords.items()})
        return told

    return shown


def _argument(*flags: str, key: str = "", **options: Any) -> Argument:
    return Argument(flags, options, key)


_POLICY: Final = _argument("policy", key="policy", metavar="POLICY", help="as in `steerctl status`")
_POP: Final = _argument("pop", key="pop", metavar="POP", help="by its name, without the path's: fra1")
_ALL: Final = _argument(
    "-v", "--all", dest="all", action="store_true", help="list every path, however many scouts there are"
)


def _for(what: str) -> Argument:
    text = f"end the {what} by itself after this time, such as 30m or 1h (default: never)"
    return _argument("--for", key="for", dest="duration", type=duration, metavar="TIME", help=text)


_ROWS: Final = (
    Verb(
        "status",
        "policies and paths: choice, RTT, jitter, loss, cost, state",
        (
            _ALL,
            _argument(
                "--format",
                key="format",
                choices=["text", "prometheus"],
                help="text, or what Prometheus would scrape, also where nothing is exported (default: text)",
            ),
        ),
        _text("status", every="all"),
    ),
    Verb(
        "why",
        "the last decision in plain words, or any decision of `history`: what won, by how much, and why",
        (
            _argument("policy", key="policy", nargs="?", metavar="POLICY|EVENT", help="default: every policy"),
            _argument("-v", "--verbose", action="store_true", help="every figure: costs term by term, rules, scouts"),
        ),
        _text("why", verbose="verbose"),
    ),
    Verb(
        "history",
        "switches, outages, paths, orders, reloads, packets that went wrong, caps: newest first",
        (
            _argument(
                "--since", key="since", type=duration, default=86400.0, metavar="1h", help="how far back (default: 1d)"
            ),
            _argument("--policy", key="policy", metavar="POLICY", help="what concerns this policy alone"),
            _argument("--path", key="path", metavar="PATH", help="what concerns this path, or this PoP's paths, alone"),
            _argument(
                "--kind",
                key="kind",
                metavar="KIND",
                help="switch, outage, path, share, order, reload, finding, packets or uplink: those alone",
            ),
            _argument(
                "-f", "--follow", action="store_true", help="a line each, oldest first, and go on with what comes"
            ),
        ),
        _text("history"),
    ),
    Verb(
        "connections",
        "how many pinned connections stay on which path, and who uses it now",
        shown=_text("connections"),
        timeout=LONG,
        abandoned=True,
    ),
    Verb(
        "savings",
        "with `steerd run --observe`: what would have moved, and what that would have saved",
        shown=_text("savings"),
    ),
    Verb(
        "watch",
        "status, redrawn until interrupted",
        (
            _ALL,
            _argument("--every", type=duration, default=1.0, metavar="1s", help="between two looks (default: 1s)"),
            _argument("--count", type=int, default=0, metavar="N", help="end after so many looks (default: never)"),
        ),
        _text("status", every="all"),
        asks="status",
    ),
    Verb(
        "pin",
        "keep a policy on a PoP; while that is down, the policy leaves it unless --hard is given",
        (
            _POLICY,
            _POP,
            _for("pin"),
            _argument("--hard", key="hard", action="store_true", help="stay even while the PoP is down"),
        ),
    ),
    Verb("unpin", "end a pin: the policy is free to move again", (_POLICY,)),
    Verb(
        "drain",
        "do not use a PoP: its traffic moves at once; with no other path left it is held or blocked (when_none)",
        (_POP, _for("drain")),
    ),
    Verb("undrain", "end a drain: the PoP may be used again", (_POP,)),
    Verb(
        "move",
        "let go of a policy's connections that stay on other paths: all of it goes by its choice at once",
        (
            _POLICY,
            _argument(
                "--now",
                key="now",
                action="store_true",
                required=True,
                help="has to be said: connections that PoPs translate break",
            ),
        ),
        timeout=LONG,
    ),
    Verb(
        "trace",
        "the way to a PoP hop by hop: where it goes wrong, and what fits through",
        (
            _POP,
            _argument(
                "--path", key="path", metavar="NAME", help="this one only (default: all paths to the PoP, in turn)"
            ),
        ),
        _text("trace"),
        timeout=LONG,
        abandoned=True,
    ),
    Verb(
        "reload",
        "read the configuration again, as SIGHUP; waits until it is in force",
        (
            _argument(
                "--confirm",
                key="confirm",
                type=_confirmable,
                metavar="TIME",
                help="take it back after this time, unless `steerctl confirm` comes first",
            ),
        ),
        timeout=LONG,
    ),
    Verb("confirm", "keep what `reload --confirm` has put into force"),
    Verb(
        "plan",
        "what a reload would change in the kernel, in words and as commands in their order; changes nothing",
        (_argument("-v", "--verbose", action="store_true", help="the tables of nftables as well"),),
        _text("plan", verbose="verbose"),
        timeout=LONG,
    ),
)

VERBS: Final = {verb.name: verb for verb in _ROWS}
ASKED: Final = frozenset(verb.asks or verb.name for verb in _ROWS)
"""What the daemon answers to."""
