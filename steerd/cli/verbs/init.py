"""`steerd init`: writes a configuration from what this machine has, and says what stands in its way."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from steerd.cli.terminal import say
from steerd.cli.verbs import live
from steerd.config.gateway.load import load
from steerd.machine import draft
from steerd.machine.answers import ask
from steerd.machine.files import session
from steerd.machine.quick import named
from steerd.machine.reading import read
from steerd.machine.record import Machine, QuickFile
from steerd.machine.ways import Ways, hidden, ways

PRINTED: Final = Path("-")
NOTICE: Final = "# steerd is not configured yet."
"""How the package's file begins. As long as there are only comments in it, it is nobody's configuration."""


def init(output: Path, sources: Sequence[Path]) -> int:
    """Writes the file, or prints it if ``output`` is `PRINTED`, then checks it as `check --live` does. ``sources``:
    wg-quick's files whose tunnels are taken, and no others. Returns 1 if nothing was written, else what the check does.
    ConfigError: what was written lacks what only a human knows."""
    if output != PRINTED and (output.is_symlink() or (output.exists() and not _notice(output))):
        return _refused(f"{output} exists and is not overwritten. -o FILE writes another file, -o - prints it.")
    logging.getLogger("steerd").addHandler(logging.NullHandler())
    try:
        machine = read()
    except OSError as error:
        return _refused(f"this machine cannot be read: {error.strerror or error}")
    quick = named(one.absolute() for one in sources)
    found = ways(machine, quick if sources else None)
    if not found.found:
        return _refused("\n".join(_nothing(machine, found)))
    try:
        text = asyncio.run(_text(machine, found))
    except KeyboardInterrupt:
        return 130
    if output == PRINTED:
        return _printed(text, quick)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if _notice(output):
            output.unlink()
        with output.open("x", encoding="utf-8") as file:
            os.fchmod(
                file.fileno(), 0o644
            )  # the daemon's user reads it, whatever root's umask; there is no secret in it
            file.write(text)
    except OSError as error:
        return _refused(f"{output} cannot be written: {error.strerror or error}")
    say(f"{output}: written, with {_counted(len(found.found), 'PoP')}: {', '.join(way.pop for way in found.found)}\n")
    return live.check(output, quick=quick)


async def _text(machine: Machine, found: Ways) -> str:
    """What is to be written, once all targets that may be have been probed."""
    targets: dict[str, draft.Chosen] = {}
    if tried := draft.tried(found):
        with _kept(tried) as file:
            config = load(file)
        targets = draft.chosen(found, config, await ask(config, machine))
    return draft.text(found, targets, session(os.environ))


def _printed(text: str, quick: Mapping[str, QuickFile]) -> int:
    say(text.rstrip(), flush=True)
    with _kept(text) as file:
        return live.check(file, called="this configuration", quick=quick)


@contextmanager
def _kept(text: str) -> Iterator[Path]:
    """A file with the text, for a while."""
    with tempfile.TemporaryDirectory(prefix="steerd-") as folder:
        file = Path(folder) / "steerd.toml"
        file.write_text(text, encoding="utf-8")
        yield file


def _notice(file: Path) -> bool:
    """Whether there is only what the package put there."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return lines[:1] != [] and lines[0].startswith(NOTICE) and all(not line or line.startswith("#") for line in lines)


def _nothing(machine: Machine, found: Ways) -> Iterator[str]:
    """Why there is nothing to write."""
    yield "nothing was found to steer to, and nothing is written"
    yield from (f"  {one}" for one in found.left)
    if unseen := hidden(machine):
        yield f"  could not be read: {'; '.join(unseen)}"
        yield "  do: call it as root"
        return
    devices = sorted(machine.uplinks)
    yield f"  default routes: {'by ' + ' and '.join(devices) if devices else 'none'}"
    yield "  do: bring up a WireGuard tunnel whose AllowedIPs hold 0.0.0.0/0 or ::/0, or name its file with --from;"
    yield "      or bring up a second uplink with a default route of its own"


def _refused(words: str) -> int:
    say(f"steerd init: {words}", error=True)
    return 1


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
