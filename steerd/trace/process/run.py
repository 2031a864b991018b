"""One trace: the ways to all targets of a path at once, each walked and then measured."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from steerd.trace.process import sockets
from steerd.trace.process.error import TraceError
from steerd.trace.process.mtu import PathMtu
from steerd.trace.process.sweep import Sweep
from steerd.trace.request import Aim, Request
from steerd.trace.verdict import of_way, verdict
from steerd.trace.way import Hop, Mtu, Way


def run(request: Request) -> dict[str, Any]:
    """The record of a trace. TraceError: it can not be made."""
    if not request.aims:
        raise TraceError("no address of its targets is known")
    mtu = sockets.device_mtu(request.device)
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(len(request.aims)) as pool:
            ways = list(pool.map(lambda aim: _way(request, aim, mtu), request.aims))
    except ImportError as error:
        raise TraceError(f"a library is missing: {error.name}") from error
    return {
        "path": request.path,
        "device": request.device,
        "method": request.method,
        "port": request.port or None,
        "took_s": round(time.monotonic() - began, 3),
        "verdict": verdict(ways),
        "legs": [{**way.to_json(), "verdict": of_way(way)} for way in ways],
        "error": None,
    }


def _way(request: Request, aim: Aim, mtu: int) -> Way:
    try:
        source = sockets.source(request, aim)
        hops, reached = _walk(request, aim, source)
        return Way(aim.family, aim.address, source, hops, reached, _mtu(request, aim, mtu))
    except OSError as error:
        return Way(aim.family, aim.address, aim.source, refused=error.strerror or str(error))


def _walk(request: Request, aim: Aim, source: str) -> tuple[tuple[Hop, ...], bool]:
    if request.method == "icmp":
        from steerd.trace.process.echo import Echo  # noqa: PLC0415 (a missing library is told, not thrown)

        with closing(Echo(request, aim)) as echo:
            sweep = Sweep(echo)
            return sweep.run(), sweep.reached
    from steerd.trace.process.crafted import Crafted  # noqa: PLC0415 (echo requests do without scapy)

    with closing(Crafted(request, aim, source)) as crafted:
        sweep = Sweep(crafted)
        return sweep.run(), sweep.reached


def _mtu(request: Request, aim: Aim, device: int) -> Mtu:
    from steerd.trace.process.echo import Echo  # noqa: PLC0415

    with closing(Echo(request, aim)) as echo:
        return PathMtu(echo, aim.family, device).run()
