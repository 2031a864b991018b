"""What survives a restart: ages and times left, never clock readings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steerd.core.events import PathMtu
from steerd.core.settings import PathId, PolicyId


@dataclass(frozen=True, slots=True)
class PinMemory:
    policy: PolicyId
    pop: str
    hard: bool
    left: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class DrainMemory:
    pop: str
    left: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class HoldMemory:
    """The damping of a path that was down: the last hold-down's length, how long ago it began, time left."""

    path: PathId
    length: float
    age: float
    left: float


@dataclass(frozen=True, slots=True)
class RuleMemory:
    """What a policy's rule has made of its network: which member is followed, for how many seconds, and what each has
    cost beyond the cheapest, in ms*s."""

    policy: PolicyId
    leader: str
    leads_for: float
    costs: Mapping[str, float]


class Standing(NamedTuple):
    """What a rule has made of itself so far: ``leader``, the member that is followed, for how many seconds, and what
    each would have cost lately beyond the one that cost least, in ms*s."""

    leader: str
    leads_for: float
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BurdenMemory:
    """What the policy's own traffic was found to add to a path, in ms, at so many bytes a second, so long ago; and how
    much of that is there all the time."""

    policy: PolicyId
    burden: float
    rate: float
    age: float
    standing: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """``overruled``: PoPs that do not accept, and that an operator wants used all the same."""

    pins: tuple[PinMemory, ...] = ()
    drains: tuple[DrainMemory, ...] = ()
    holds: tuple[HoldMemory, ...] = ()
    sizes: tuple[PathMtu, ...] = ()
    rules: tuple[RuleMemory, ...] = ()
    burdens: tuple[BurdenMemory, ...] = ()
    overruled: tuple[str, ...] = ()
