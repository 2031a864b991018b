"""`steerd run`, `steerd guard` and `steerd cleanup`."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from steerd.cli.log import log_to_stderr
from steerd.cli.terminal import say
from steerd.cli.verbs.configuration import read, warned
from steerd.config.file.problem import ConfigError, Problem
from steerd.config.file.toml import toml
from steerd.config.gateway.load import load_for_guard
from steerd.config.settings import Config


def run(path: Path, *, dry_run: bool, verbose: bool, observe: bool, level: str) -> int:
    """The daemon in the foreground, which only looks if it is to ``observe`` or the file says so. Or only what it
    would do to the kernel (``dry_run``), with nftables' tables (``verbose``). Returns 0 after a
    stop, 1 if it cannot run. ConfigError: as `read`."""
    # Until there is something to reload, asking for it is no reason to end; and then it is done.
    asked = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: asked.set())
    log_to_stderr(level)
    config = read(path)
    if dry_run:
        return _done("run --dry-run", lambda: _plan(config, verbose=verbose))
    from steerd.config.change import StageError
    from steerd.daemon import daemon

    try:
        asyncio.run(daemon.run(config, asked.is_set, observing=observe or config.observe))
    except StageError as error:
        logging.getLogger("steerd").critical("%s", error)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def cleanup(path: Path) -> int:
    """Remove every kernel object of ours, also where nothing is steered any more. Returns 0, 1 if a daemon runs or the
    kernel refuses. ConfigError: as `read`."""
    config = read(path, complete=False)
    if not toml(path):
        # Neither which numbers were steerd's, nor that this was meant to open the gateway.
        raise ConfigError(
            [Problem(path, "", None, "is empty: it does not say what is steerd's, and nothing was removed")]
        )
    return _done("cleanup", lambda: _removed(config))


def guard(path: Path) -> int:
    """Put the leak guard in place before anything else runs: whole, or, while lists of prefixes cannot be read, as far
    as it is known, and then nothing that is there is replaced. Returns 0, 1 if it cannot be put, or not whole, 78 if a
    list is wrong. ConfigError: as `read`."""
    config, missed = load_for_guard(path)
    warned(config)
    for problem in missed:
        say(problem, error=True)
    code = _done("guard", lambda: _guarded(config, whole=not missed))
    return ConfigError(missed).exit_code if missed and not code else code


def _done(verb: str, work: Callable[[], str]) -> int:
    """Do it without a daemon, and print what came of it."""
    from steerd.route.error import RouteError

    try:
        done = work()
    except (RouteError, OSError) as error:
        say(f"steerd {verb}: {error}", error=True)
        return 1
    say(done)
    return 0


def _removed(config: Config) -> str:
    from steerd.control.client import listening
    from steerd.route.claim import Claim
    from steerd.route.error import RouteError
    from steerd.route.once import cleanup

    if listening(str(config.control_socket)):
        # It would put everything back, and until then traffic would leave by the main table.
        raise RouteError(f"steerd is running (at {config.control_socket}): stop it first")
    with closing(Claim()) as claim:  # a daemon may have begun with another socket; and none begins meanwhile
        claim.take(config.route)
        return f"removed {cleanup(config.route)} kernel objects"


def _guarded(config: Config, *, whole: bool) -> str:
    if config.observe:
        return "nothing is guarded, and nothing that is there was touched: [gateway] observe = true"
    from steerd.route.once import guard

    there = guard(config.route, replace=whole)
    return f"table inet {config.route.nft_table} is in place" if there else "nothing to guard"


def _plan(config: Config, *, verbose: bool) -> str:
    from steerd.control import as_text
    from steerd.route.once import plan

    planned = plan(config.route, {})
    answer = {"summary": planned.words, "lines": planned.lines, "total": len(planned.lines), "notes": []}
    return as_text.plan(answer, verbose=verbose)
