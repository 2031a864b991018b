"""`steerd run`, `steerd guard` and `steerd cleanup`."""

import asyncio
import logging
import signal
import sys
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
    config = read(path)
    if config is None:
        return EX_CONFIG
    if dry_run:
        return _plan(config)
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
    from steerd.control.client import listening
    from steerd.route.router import RouteError
    from steerd.route.router import cleanup as remove

    config = read(path)
    if config is None:
        return EX_CONFIG
    if listening(str(config.control_socket)):
        # It would put everything back, and until then traffic would leave by the main table.
        print(f"steerd cleanup: steerd is running (at {config.control_socket}): stop it first", file=sys.stderr)
        return 1
    try:
        removed = remove(config.route)
    except (RouteError, OSError) as error:
        print(f"steerd cleanup: {error}", file=sys.stderr)
        return 1
    print(f"removed {removed} kernel objects")
    return 0


def guard(path: Path) -> int:
    """Put the leak guard in place before anything else runs. Returns 0, 1 if it cannot be, 78 for a bad
    configuration."""
    from steerd.route.once import guard as protect
    from steerd.route.router import RouteError

    config = read(path)
    if config is None:
        return EX_CONFIG
    try:
        there = protect(config.route)
    except (RouteError, OSError) as error:
        print(f"steerd guard: {error}", file=sys.stderr)
        return 1
    print(f"table inet {config.route.nft_table} is in place" if there else "nothing to guard")
    return 0


def _plan(config: Config) -> int:
    from steerd.route.router import RouteError, plan

    try:
        lines = plan(config.route, {})
    except (RouteError, OSError) as error:
        print(f"steerd run --dry-run: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines) if lines else "# the kernel already has all of it")
    return 0
