"""What the shells' completion asks: the names that the running daemon knows, one a line.

It is bounded and quiet: without a daemon, or when that takes too long, there is nothing to complete, and no word of it.
A name with a character that means something to a shell is left out, as bash expands what it is offered. No
configuration has such a name, but who knows what answers.
"""

import os
import re
import signal
from types import FrameType
from typing import Any, Final

KINDS: Final = ("pops", "paths", "policies")
PATIENCE: Final = 1.0  # seconds in all: somebody waits at a prompt
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]*", re.ASCII)


def main(socket: str, kind: str) -> int:
    """Prints them. Returns the exit code."""
    from steerd.control.client import NotThereError, ask

    signal.signal(signal.SIGALRM, _given_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        answer = ask(socket, {"verb": "status"}, PATIENCE)
        names = sorted(filter(_PLAIN.fullmatch, _named(answer, kind)))
    except (NotThereError, OSError, LookupError, TypeError):
        return 1
    print(*names, sep="\n", end="\n" if names else "")
    return 0


def _named(answer: dict[str, Any], kind: str) -> set[str]:
    if kind == "policies":
        return {str(one["policy"]) for one in answer["policies"]}
    return {str(one["pop" if kind == "pops" else "path"]) for one in answer["paths"]}


def _given_up(_signal: int, _frame: FrameType | None) -> None:
    os._exit(1)
