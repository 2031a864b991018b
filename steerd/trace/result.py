"""What a trace finds: hops, the packet size that gets through, or why it could not be sent at all."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True)
class Hop:
    """The answers to probes whose time to live ended at the ``hop``-th router; ``target``: it was the target itself.
    ``addresses`` in the order of their first answers; times in ms, without errors from others than the target;
    ``error`` is what an answer refused with (`host unreachable`, `prohibited`, ...)."""

    hop: int
    sent: int
    answered: int = 0
    addresses: tuple[str, ...] = ()
    best_ms: float | None = None
    mean_ms: float | None = None
    error: str | None = None
    target: bool = False


ELSEWHERE: Final = "answers in the target's place"
"""The ``error`` of a hop that sent what only the target can answer, from another address than the target's."""


class MtuState(StrEnum):
    FOUND = "found"
    UNKNOWN = "unknown"  # the target does not answer echo requests
    BLACK_HOLE = "black-hole"  # larger packets vanish, and nobody says so


@dataclass(frozen=True, slots=True)
class Mtu:
    """The largest IP packet that came through, and the device's, in bytes; ``reported_by``: the router that said so."""

    state: MtuState
    size: int | None
    device: int
    reported_by: str | None = None


@dataclass(frozen=True, slots=True)
class TargetTrace:
    """The trace to one target. ``source`` is the address that its probes came from. ``reached``: the target answered,
    perhaps without telling at which hop. ``refused`` is why this machine could not send."""

    family: int
    target: str
    source: str | None = None
    hops: tuple[Hop, ...] = ()
    reached: bool = False
    mtu: Mtu | None = None
    refused: str | None = None
