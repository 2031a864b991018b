"""What was heard last of each gateway and of each PoP. No history: that is Prometheus' work."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from steerd.core.states import PathState
from steerd.fleet.inventory import Inventory
from steerd.share.messages import POPS_MAX, GatewayState, PopReport, RefusedError, Score, SwitchEvent, decode
from steerd.share.reports import EPOCH_AHEAD
from steerd.share.topics import Said

GATEWAYS_MAX: Final = 50_000
"""More are refused, as are more PoPs than a message may name: a broker without access rules lets anybody be many."""


class Presence(StrEnum):
    """What is known of a gateway now. ``STALE``: it says that it is online, and says nothing more."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


class PathSeen(NamedTuple):
    """A path as a gateway sees it. ``rtt`` in ms, None: not known; ``loss`` from 0 to 1."""

    pop: str
    state: PathState
    rtt: float | None
    loss: float


class Moved(NamedTuple):
    """A gateway's last switch, heard ``at`` this time of our own clock."""

    at: float
    policy: str
    old: str | None
    new: str | None
    reason: str


@dataclass(slots=True)
class Gateway:
    """``known``: it is in the inventory. ``scored_at``: when its last score came, by our clock, None: none has.
    ``choices``: by policy, the path or None."""

    region: str
    name: str
    known: bool
    online: bool = False
    version: str = ""
    reason: str = ""
    epoch: int = -1
    place: tuple[int, int] = (-1, -1)
    event_place: tuple[int, int] = (-1, -1)
    scored_at: float | None = None
    choices: dict[str, str | None] = field(default_factory=dict)
    paths: tuple[PathSeen, ...] = ()
    moved: Moved | None = None

    def presence(self, now: float, stale_after: float) -> Presence:
        """What is known of it at ``now``."""
        if not self.online:
            return Presence.OFFLINE
        silent = self.scored_at is None or now - self.scored_at > stale_after
        return Presence.STALE if silent else Presence.ONLINE


@dataclass(slots=True)
class Pop:
    """``load`` from 0 to 1, None: it does not say; ``told_at``: when it last spoke, by our clock; None: it never did,
    and a gateway named it. ``lain``: what it said last was kept by the broker, nobody knows for how long."""

    name: str
    accepting: bool = True
    load: float | None = None
    capacity: int | None = None
    links: int = 0
    place: tuple[int, int] = (-1, -1)
    told_at: float | None = None
    lain: bool = False


class Heard:
    """Takes what comes in. ``refuse`` gets the source, a reason and the topic of what is refused. ``clock`` is
    monotonic, ``wall`` the time since 1970, both in seconds."""

    def __init__(
        self,
        inventory: Callable[[], Inventory],
        refuse: Callable[[str, str, str], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.gateways: dict[tuple[str, str], Gateway] = {}
        self.pops: dict[str, Pop] = {}
        self.switches: Counter[str] = Counter()
        self._inventory = inventory
        self._refuse = refuse
        self._clock = clock
        self._wall = wall

    def take(self, said: Said, topic: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        """One message of a gateway or a PoP. An empty one, which clears a retained one, says that there is none."""
        try:
            if said.kind == "pop":
                self._pop(said.name, payload, kind, retained=retained)
            elif said.what == "state":
                self._state(said, payload, kind)
            elif payload and said.what == "score":
                self._score(said, payload, kind)
            elif payload:
                self._event(said, payload, kind)
        except RefusedError as refused:
            self._refuse("gateway" if said.kind == "gw" else "pop", refused.reason, topic)

    def enrol(self) -> None:
        """The inventory may have changed."""
        inventory = self._inventory()
        for (region, name), gateway in self.gateways.items():
            gateway.known = inventory.knows(region, name)

    def of_region(self, region: str) -> Iterator[Gateway]:
        """Its gateways."""
        return (one for one in self.gateways.values() if one.region == region)

    @property
    def regions(self) -> list[str]:
        """Those that gateways are in, sorted."""
        return sorted({region for region, _ in self.gateways})

    def _state(self, said: Said, payload: bytes, kind: str | None) -> None:
        if not payload:
            self.gateways.pop((said.region, said.name), None)
            return
        state = decode(GatewayState, payload, kind)
        gateway = self._whose(said, state.gw, state.epoch)
        if state.epoch < gateway.epoch:
            raise RefusedError("stale epoch")  # the will of a connection before this one
        gateway.epoch, gateway.online = state.epoch, state.online
        gateway.version, gateway.reason = state.version, state.reason or ""

    def _score(self, said: Said, payload: bytes, kind: str | None) -> None:
        score = decode(Score, payload, kind)
        gateway = self._whose(said, score.gw, score.epoch)
        place = (score.epoch, score.seq)
        if place < gateway.place:
            raise RefusedError("stale seq")
        gateway.place, gateway.scored_at = place, self._clock()
        intern = sys.intern  # 10,000 gateways name the same few PoPs and policies
        gateway.choices = {intern(policy): path and intern(path) for policy, path in score.policies.items()}
        gateway.paths = tuple(
            PathSeen(
                intern(one.pop), one.state, None if one.rtt_us is None else one.rtt_us / 1000, one.loss_ppm / 1_000_000
            )
            for one in score.paths
        )
        for path in gateway.paths:
            if path.pop not in self.pops and len(self.pops) < POPS_MAX:
                self.pops[path.pop] = Pop(path.pop)

    def _event(self, said: Said, payload: bytes, kind: str | None) -> None:
        event = decode(SwitchEvent, payload, kind)
        gateway = self._whose(said, event.gw, event.epoch)
        place = (event.epoch, event.seq)
        if place <= gateway.event_place:
            return  # QoS 1: it may come twice
        gateway.event_place = place
        gateway.moved = Moved(self._clock(), event.policy, event.from_, event.to, event.reason)
        self.switches[event.reason] += 1

    def _whose(self, said: Said, name: str, epoch: int) -> Gateway:
        """The gateway that a message is of, which is this one's by its topic and by its own word."""
        if name != said.name:
            raise RefusedError("another gateway's topic")
        if epoch > self._wall() + EPOCH_AHEAD:
            raise RefusedError("future epoch")
        key = said.region, said.name
        gateway = self.gateways.get(key)
        if gateway is None:
            if len(self.gateways) >= GATEWAYS_MAX:
                raise RefusedError("too many gateways")
            known = self._inventory().knows(*key)
            gateway = self.gateways[key] = Gateway(sys.intern(said.region), said.name, known)
        return gateway

    def _pop(self, name: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        if not payload:
            self.pops.pop(name, None)
            return
        report = decode(PopReport, payload, kind)
        if report.pop != name:
            raise RefusedError("another PoP's topic")
        if report.epoch > self._wall() + EPOCH_AHEAD:
            raise RefusedError("future epoch")
        pop = self.pops.get(name)
        if pop is None:
            if len(self.pops) >= POPS_MAX:
                raise RefusedError("too many PoPs")
            pop = self.pops[name] = Pop(sys.intern(name))
        place = (report.epoch, report.seq)
        if place < pop.place:
            raise RefusedError("stale seq")
        pop.place, pop.told_at, pop.lain = place, self._clock(), retained
        pop.accepting, pop.capacity, pop.links = report.accepting, report.capacity, len(report.links or ())
        pop.load = None if report.load_ppm is None else report.load_ppm / 1_000_000
