"""`steerctl history --follow`: what happened, and what happens, a line each."""

import argparse
import json
import time
from typing import Any, Final, NoReturn

from steerd.cli.terminal import say
from steerd.control.client import NotThereError, ask
from steerd.control.parts.history import entries
from steerd.control.verbs import VERBS

EVERY: Final = 1.0
"""Seconds between two looks."""
MARGIN: Final = 10.0
"""Seconds that a look reaches back beyond the last one: what is written late is not missed."""
KNOWN: Final = 10_000
"""So many entries are remembered, the newest: one look brings at most 4,000."""


def follow(options: argparse.Namespace) -> NoReturn:
    """Until interrupted, also while the daemon is away: what happened meanwhile is told when it is back."""
    known: dict[str, None] = {}
    seen, away = time.monotonic(), False
    while True:
        asked = time.monotonic()
        answer, trouble = _look(options)
        if answer is not None:
            seen = asked
            for entry, text in entries(answer):
                line = json.dumps(entry)
                if line not in known:
                    known[line] = None
                    say(line if options.json else text, flush=True)
            for old in list(known)[:-KNOWN]:
                del known[old]
        elif not away:
            say(f"steerctl: {trouble}; waiting", error=True)
        away = answer is None
        time.sleep(EVERY)
        options.since = time.monotonic() - seen + MARGIN


def _look(options: argparse.Namespace) -> tuple[dict[str, Any] | None, object]:
    """What there is, or why there is nothing."""
    try:
        answer = ask(options.socket, VERBS["history"].request(options))
    except (OSError, NotThereError) as error:
        return None, error
    return (answer, "") if answer.get("ok") is True else (None, answer.get("error", "refused"))
