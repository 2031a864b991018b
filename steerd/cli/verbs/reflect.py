"""`steerd reflect`: the far end of probes by UDP."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from steerd.cli.log import log_to_stderr
from steerd.cli.terminal import say
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.daemon.notify import notify
from steerd.reflect.listener import Listener, ListenError, everywhere, serve
from steerd.reflect.reflector import Network, Reflector
from steerd.reflect.told import LOOK, Told

_log = logging.getLogger("steerd.reflect")


def reflect(
    listen: Sequence[tuple[str, int]], *, key_file: Path | None, allow: Sequence[Network], rate: float, level: str
) -> int:
    """Answer STAMP until SIGTERM or SIGINT, at all addresses if none is given to ``listen`` on. Returns 0 after that,
    1 if it cannot run."""
    log_to_stderr(level)
    with ExitStack() as stack:
        try:
            key = read_key(key_file) if key_file else None
            listeners = [Listener(address, port) for address, port in listen or everywhere()]
        except (KeyFileError, ListenError) as error:
            say(f"steerd reflect: {error}", error=True)
            return 1
        for listener in listeners:
            stack.callback(listener.close)
        reflector = Reflector(key=key, allowed=allow, rate=rate, ports=[listener.port for listener in listeners])
        where = ", ".join(str(listener) for listener in listeners)

        def ready() -> None:
            _log.info("reflecting on %s, %s", where, "authenticated" if key else "unauthenticated")
            notify(READY="1", STATUS=f"reflecting on {where}")

        told = Told(reflector, "--rate")
        serve(listeners, reflector, started=ready, every=LOOK, report=told.look)
    notify(STOPPING="1")
    told.end()
    return 0
