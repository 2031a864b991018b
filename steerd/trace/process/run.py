"""One trace: to all targets of a path at once, hop by hop and by packet size.

As their licences do not go together, scapy and icmplib never share a process
(docs/development/decisions/dependencies.md): where scapy finds the hops, a process beside it measures sizes.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from steerd.net.privileges import drop
from steerd.trace.process import sockets
from steerd.trace.process.sweep import Method, Sweep
from steerd.trace.request import COMMAND, LIMIT, SIZE, Aim, Request
from steerd.trace.result import Hop, Mtu, MtuState, TargetTrace
from steerd.trace.verdict import of_target, verdict

if TYPE_CHECKING:
    from steerd.trace.process.echo import EchoMethod

_CRAFTED: Final = frozenset({"tcp", "udp"})
_BESIDE: Final = LIMIT / 2


def run(request: Request) -> dict[str, Any]:
    """The record of a trace. TraceError: it cannot be made."""
    if not request.aims:
        raise sockets.TraceError("no address of its targets is known")
    device = sockets.device_mtu(request.device)
    began = time.monotonic()
    try:
        if request.method in _CRAFTED:
            with _beside(replace(request, method=SIZE)) as measuring:
                traces = _with_sizes(_traces(request, device), measuring)
        else:
            traces = _traces(request, device)
    except ImportError as error:
        raise sockets.TraceError(f"a library is missing: {error.name}") from error
    return {
        "path": request.path,
        "device": request.device,
        "method": request.method,
        "port": request.port or None,
        "took_s": round(time.monotonic() - began, 3),
        "verdict": verdict(traces),
        "legs": [{**asdict(trace), "verdict": of_target(trace)} for trace in traces],
        "error": None,
    }


def _traces(request: Request, device: int) -> list[TargetTrace]:
    with ExitStack() as opened:
        ready = [_opened(request, aim, opened) for aim in request.aims]
        try:
            drop()
        except OSError as error:
            raise sockets.TraceError(f"its process cannot give up its capabilities: {error.strerror}") from error
        with ThreadPoolExecutor(len(ready)) as pool:
            return list(pool.map(lambda one: _trace(one, device), ready))


class _Ready(NamedTuple):
    """A target, and what is open to trace it with. ``refused``: why nothing is."""

    aim: Aim
    source: str | None
    walk: Method | None = None
    echo: "EchoMethod | None" = None
    refused: str | None = None


def _opened(request: Request, aim: Aim, opened: ExitStack) -> _Ready:
    try:
        source = sockets.source(request, aim)
        if request.method in _CRAFTED:
            from steerd.trace.process.crafted import Crafted  # noqa: PLC0415 (brings scapy)

            return _Ready(aim, source, opened.enter_context(closing(Crafted(request, aim, source))))
        from steerd.trace.process.echo import EchoMethod  # noqa: PLC0415 (brings icmplib)

        walk = opened.enter_context(closing(EchoMethod(request, aim))) if request.method != SIZE else None
        return _Ready(aim, source, walk, opened.enter_context(closing(EchoMethod(request, aim))))
    except OSError as error:
        return _Ready(aim, aim.source, refused=error.strerror or str(error))


def _trace(ready: _Ready, device: int) -> TargetTrace:
    family, address = ready.aim.family, ready.aim.address
    if ready.refused is not None:
        return TargetTrace(family, address, ready.source, refused=ready.refused)
    try:
        hops, reached = _walk(ready.walk) if ready.walk is not None else ((), False)
        mtu = None
        if ready.echo is not None:
            from steerd.trace.process.mtu import PathMtu  # noqa: PLC0415 (brings icmplib)

            mtu = PathMtu(ready.echo, family, device).run()
    except OSError as error:
        return TargetTrace(family, address, ready.aim.source, refused=error.strerror or str(error))
    return TargetTrace(family, address, ready.source, hops, reached, mtu)


def _walk(method: Method) -> tuple[tuple[Hop, ...], bool]:
    sweep = Sweep(method)
    return sweep.run(), sweep.reached


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


def _with_sizes(traces: Sequence[TargetTrace], measuring: subprocess.Popen[str]) -> list[TargetTrace]:
    """Add the sizes that the process beside has measured, where it could."""
    try:
        output, _ = measuring.communicate(timeout=_BESIDE)
        sizes = [leg["mtu"] for leg in json.loads(output)["legs"]]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return list(traces)
    return [
        replace(one, mtu=Mtu(**{**size, "state": MtuState(size["state"])})) if size and one.refused is None else one
        for one, size in zip(traces, sizes, strict=True)
    ]
