"""One trace: the ways to all targets of a path at once, each walked and measured.

scapy and icmplib never meet in one process, as their licences do not go together
(docs/development/decisions/dependencies.md): where scapy walks, a process beside it measures.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Final

from steerd.trace.process import sockets
from steerd.trace.process.error import TraceError
from steerd.trace.process.sweep import Sweep
from steerd.trace.request import COMMAND, LIMIT, SIZE, Aim, Request
from steerd.trace.verdict import of_way, verdict
from steerd.trace.way import Hop, Mtu, MtuState, Way

_CRAFTED: Final = frozenset({"tcp", "udp"})
_BESIDE: Final = LIMIT / 2


def run(request: Request) -> dict[str, Any]:
    """The record of a trace. TraceError: it cannot be made."""
    if not request.aims:
        raise TraceError("no address of its targets is known")
    device = sockets.device_mtu(request.device)
    began = time.monotonic()
    try:
        if request.method in _CRAFTED:
            with _beside(replace(request, method=SIZE)) as measuring:
                ways = _with_sizes(_ways(request, device), measuring)
        else:
            ways = _ways(request, device)
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


def _ways(request: Request, device: int) -> list[Way]:
    with ThreadPoolExecutor(len(request.aims)) as pool:
        return list(pool.map(lambda aim: _way(request, aim, device), request.aims))


def _way(request: Request, aim: Aim, device: int) -> Way:
    try:
        source = sockets.source(request, aim)
        if request.method in _CRAFTED:
            return Way(aim.family, aim.address, source, *_walk_crafted(request, aim, source))
        hops, reached = _walk_echo(request, aim) if request.method != SIZE else ((), False)
        return Way(aim.family, aim.address, source, hops, reached, _mtu(request, aim, device))
    except OSError as error:
        return Way(aim.family, aim.address, aim.source, refused=error.strerror or str(error))


def _walk_crafted(request: Request, aim: Aim, source: str) -> tuple[tuple[Hop, ...], bool]:
    from steerd.trace.process.crafted import Crafted  # noqa: PLC0415 (brings scapy)

    with closing(Crafted(request, aim, source)) as crafted:
        sweep = Sweep(crafted)
        return sweep.run(), sweep.reached


def _walk_echo(request: Request, aim: Aim) -> tuple[tuple[Hop, ...], bool]:
    from steerd.trace.process.echo import Echo  # noqa: PLC0415 (brings icmplib)

    with closing(Echo(request, aim)) as echo:
        sweep = Sweep(echo)
        return sweep.run(), sweep.reached


def _mtu(request: Request, aim: Aim, device: int) -> Mtu:
    from steerd.trace.process.echo import Echo  # noqa: PLC0415
    from steerd.trace.process.mtu import PathMtu  # noqa: PLC0415

    with closing(Echo(request, aim)) as echo:
        return PathMtu(echo, aim.family, device).run()


@contextmanager
def _beside(request: Request) -> Iterator[subprocess.Popen[str]]:
    """Another process like this one; it does not outlast the block."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdin is not None:
                process.stdin.write(request.to_json())
                process.stdin.close()
                process.stdin = None
            yield process
        finally:
            process.kill()


def _with_sizes(ways: Sequence[Way], measuring: subprocess.Popen[str]) -> list[Way]:
    """What the process beside has measured; nothing where it could not."""
    try:
        output, _ = measuring.communicate(timeout=_BESIDE)
        sizes = [leg["mtu"] for leg in json.loads(output)["legs"]]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return list(ways)
    return [
        replace(way, mtu=Mtu(**{**size, "state": MtuState(size["state"])})) if size and way.refused is None else way
        for way, size in zip(ways, sizes, strict=True)
    ]
