"""`steerd check --live`: a configuration held against this machine, as text or JSON."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from steerd.cli.terminal import piped_away, say
from steerd.cli.verbs.configuration import read
from steerd.config.settings import Config
from steerd.machine.answers import ask
from steerd.machine.check import findings
from steerd.machine.finding import AND, By, Finding, Severity
from steerd.machine.reading import again
from steerd.machine.reading import read as read_machine
from steerd.machine.record import QuickFile
from steerd.text.lines import wrapped

EX_MACHINE: Final = 69
"""The exit code for a machine that is not as the configuration needs it: EX_UNAVAILABLE of sysexits.h."""

_PASSING: Final = ("sysctl -w ", "ip ", "wg set ", "nft ")


def check(path: Path, *, as_json: bool = False, called: str = "", quick: Mapping[str, QuickFile] | None = None) -> int:
    """Prints what is wrong with the file, or else what stands between it and this machine; to standard error, if it is
    ``called`` otherwise there. ``quick``: files of wg-quick's, besides those of /etc/wireguard. Returns 0, 1 if the
    machine cannot be read, `EX_MACHINE` if there is an error. ConfigError: as `read`."""
    config = read(path)
    # What the stages log of their own is told by findings.
    logging.getLogger("steerd").addHandler(logging.NullHandler())
    try:
        found = asyncio.run(_look(config, quick))
    except OSError as error:
        say(f"steerd check --live: this machine cannot be read: {error.strerror or error}", error=True)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        say(
            json.dumps([as_dict(one) for one in found], indent=2)
            if as_json
            else "\n".join(text(called or str(path), found)),
            error=bool(called),
            flush=True,
        )
    except BrokenPipeError:  # `| head` has read enough
        piped_away()
    return EX_MACHINE if any(one.severity is Severity.ERROR for one in found) else 0


async def _look(config: Config, quick: Mapping[str, QuickFile] | None) -> list[Finding]:
    machine = read_machine(config.route, config.control_socket)
    machine = replace(machine, quick={**machine.quick, **(quick or {})})
    answers = await ask(config, machine)
    return findings(config, again(machine), answers)


def as_dict(one: Finding) -> dict[str, Any]:
    """A finding as JSON has it. ``by``: ``run`` (a command), ``set`` (a key of the file) or ``do`` (words)."""
    return {
        "severity": one.severity.value,
        "id": one.id,
        "place": one.place,
        "finding": one.what,
        "why": one.why,
        "cure": one.cure.text,
        "by": one.cure.by.value,
    }


def text(file: str, found: Sequence[Finding]) -> Iterator[str]:
    """The findings as lines. What is to be copied is never wrapped."""
    if not found:
        yield f"{file}: nothing on this machine stands in its way"
        return
    errors = sum(one.severity is Severity.ERROR for one in found)
    parts = [_counted(errors, "error"), _counted(len(found) - errors, "warning")]
    yield f"{file} on this machine: {' and '.join(part for part in parts if part)}"
    for one in found:
        yield ""
        yield f"{one.severity.value}: {one.place} [{one.id}]"
        yield from wrapped(f"{one.what} {one.why}", "  ")
        if one.cure.by is By.DO:
            yield from wrapped(one.cure.text, "  do: ")
        else:
            first, *more = one.cure.text.split(AND)
            yield f"  {one.cure.by.value}: {first}{AND.rstrip() if more else ''}"
            yield from (f"       {each}{AND.rstrip()}" for each in more[:-1])
            yield from (f"       {each}" for each in more[-1:])
    if any(one.cure.by is By.RUN and one.cure.text.startswith(_PASSING) for one in found):
        yield ""
        yield "What these commands set is gone after a boot: put it where this machine's network is configured, too."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}" if number else ""
