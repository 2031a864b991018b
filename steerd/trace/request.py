"""What the daemon asks a tracing process: one path, as its probes take it."""

import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steerd.config.probe_settings import ProbePath
from steerd.net.sockets import address_family

COMMAND = (sys.executable, "-P", "-m", "steerd.trace")

LIMIT = 30.0
"""Seconds after which a tracing process is killed, whatever it does."""

SIZE = "size"
"""A method that only measures which packet size gets through."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A target of the path: ``family`` 4 or 6, ``address`` numeric; ``source`` of the probes (None: by the routes)."""

    family: int
    address: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """``mark`` leads to the path's own table; ``port`` is for TCP and UDP; ``dscp`` is that of the probes."""

    path: str
    device: str
    mark: int
    method: str
    port: int
    dscp: int
    aims: tuple[Aim, ...]

    def to_json(self) -> str:
        """What the tracing process reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Raises `ValueError` or `TypeError` for anything that `to_json` does not write."""
        data: dict[str, Any] = json.loads(text)
        aims = tuple(Aim(**aim) for aim in data.pop("aims"))
        return cls(**data, aims=aims)


def request(path: ProbePath, addresses: Sequence[str]) -> Request:
    """How this path's probes go. ``addresses``: those of its targets now; a target without one is left out."""
    aims = tuple(
        Aim(target.family, numeric, target.source)
        for target, address in zip(path.targets, addresses, strict=True)
        if (numeric := _numeric(target.family, address)) is not None
    )
    return Request(path.path, path.device, path.mark, path.method, path.port, path.dscp, aims)


def _numeric(family: int, address: str) -> str | None:
    """The address as answers will have it."""
    kind = address_family(family)
    try:
        return socket.inet_ntop(kind, socket.inet_pton(kind, address))
    except OSError:
        return None
