"""`steerd reflect`: the far end of probes by UDP."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

from steerd.cli.log import log_to_stderr
from steerd.cli.terminal import say
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.daemon.notify import notify
from steerd.reflect.allowance import SHARED
from steerd.reflect.listener import Listener, ListenError, everywhere, serve
from steerd.reflect.reflector import Network, Reflector
from steerd.text.seldom import Seldom

_LOOK = 5.0  # seconds
_REPORT = 60.0  # seconds between two lines of a kind
_NAMED = 3
"""Sources that ask too often and are named; of more the rest is counted."""

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

        seldom = Seldom(_REPORT)

        def report() -> None:
            if reflector.allowance.refused and seldom.said("limits") is not None:
                _log.warning("%s", _limited(reflector))
                reflector.allowance.forget()
            if seldom.said("counts") is not None:
                _log.debug("%s", _counts(reflector))

        serve(listeners, reflector, started=ready, every=_LOOK, report=report)
    notify(STOPPING="1")
    if reflector.allowance.refused:
        _log.warning("%s", _limited(reflector))
    _log.info("%s", _counts(reflector))
    return 0


def _limited(reflector: Reflector) -> str:
    """Who asks more often than is answered, and by which limit."""
    refused = reflector.allowance.refused
    said = [
        f"{ip_address(source)} asks more than {limit:g} times a second: {count} packets not answered"
        for (source, limit), count in refused.most_common(_NAMED)
    ]
    if len(refused) > _NAMED:
        said.append(f"{len(refused) - _NAMED} more sources")
    return f"{'; '.join(said)}. --rate raises the limit (of a session; {SHARED} times as much for its address)"


def _counts(reflector: Reflector) -> str:
    dropped = sorted((reason.value, count) for reason, count in reflector.dropped.items())
    reasons = f" ({', '.join(f'{reason} {count}' for reason, count in dropped)})" if dropped else ""
    total = sum(reflector.dropped.values())
    return (
        f"received {reflector.received}, reflected {reflector.reflected}, dropped {total}{reasons};"
        f" {reflector.sessions} sessions"
    )
