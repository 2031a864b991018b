"""`steerd run`, `steerd guard` and `steerd cleanup`."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from steerd.cli.configuration import read
from steerd.cli.log import log_to_stderr
from steerd.config.problem import EX_CONFIG
from steerd.config.settings import Config


def run(path: Path, *, dry_run: bool, level: str) -> int:
    """The daemon in the foreground. Returns 0 after a stop, 1 if it cannot run, 78 for a bad configuration."""
    # Until there is something to reload, asking for it is no reason to end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log_to_stderr(level)
    if dry_run:
        return _done("run --dry-run", path, _plan)
    config = read(path)
    if config is None:
        return EX_CONFIG
    from steerd.config.change import StageError
    from steerd.daemon import daemon

    try:
        asyncio.run(daemon.run(config))
    except StageError as error:
        logging.getLogger("steerd").critical("%s", error)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def cleanup(path: Path) -> int:
    """Remove every kernel object of ours. Returns 0, 1 if a daemon runs or the kernel refuses, 78 for a bad
    configuration."""
    return _done("cleanup", path, _removed)


def guard(path: Path) -> int:
    """Put the leak guard in place before anything else runs. Returns 0, 1 if it cannot be, 78 for a bad
    configuration."""
    return _done("guard", path, _guarded)


def _done(verb: str, path: Path, work: Callable[[Config], str]) -> int:
    """Do it without a daemon, and print what came of it."""
    from steerd.route.error import RouteError

    config = read(path)
    if config is None:
        return EX_CONFIG
    try:
        print(work(config))
    except (RouteError, OSError) as error:
        print(f"steerd {verb}: {error}", file=sys.stderr)
        return 1
    return 0


def _removed(config: Config) -> str:
    from steerd.control.client import listening
    from steerd.route.error import RouteError
    from steerd.route.once import cleanup

    if listening(str(config.control_socket)):
        # It would put everything back, and until then traffic would leave by the main table.
        raise RouteError(f"steerd is running (at {config.control_socket}): stop it first")
    return f"removed {cleanup(config.route)} kernel objects"


def _guarded(config: Config) -> str:
    from steerd.route.once import guard

    return f"table inet {config.route.nft_table} is in place" if guard(config.route) else "nothing to guard"


def _plan(config: Config) -> str:
    from steerd.route.once import plan

    return "\n".join(plan(config.route, {})) or "# the kernel already has all of it"
