"""A daemon's recording through the engine again: the same settings, memory, seed and events, so the same effects."""

from collections.abc import Iterable, Iterator, Sequence
from math import floor
from random import Random
from typing import Any, Final, Protocol

from steerd.core.engine import Engine
from steerd.core.model import Configured, Effect, Event, Memory, Probed, Switched
from steerd.core.model import Outcome as Became
from steerd.core.settings import PathId, PolicyId, Settings
from steerd.replay.compare import Comparison
from steerd.replay.outcome import Outcome, own_price, rule_name
from steerd.replay.price import Ledger

SETTLED: Final = {Became.REPLY, Became.LOST, Became.LATE}
"""Outcomes that say what a probe brought in the end; LATE takes the place of a LOST of the same round."""


class Beginning(Protocol):
    """What a recording's engine was made with."""

    @property
    def settings(self) -> Settings: ...
    @property
    def memory(self) -> Memory: ...
    @property
    def seed(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def now(self) -> float: ...
    @property
    def wall_ms(self) -> int: ...


def effects(beginning: Beginning, events: Iterable[tuple[float, Event | None]]) -> Iterator[tuple[float, Effect]]:
    """All that the daemon's engine wanted and said, each with the time of the event that brought it. A deadline's
    effects come with the event after it."""
    engine = Engine(
        beginning.settings,
        beginning.memory,
        now=beginning.now,
        epoch=beginning.epoch,
        draw=Random(beginning.seed).random,  # noqa: S311 (the same draws again)
    )
    for now, event in events:
        for effect in engine.feed(event, now):
            yield now, effect


class _Rounds:
    """A recording's probes as samples: one for each round of the engine in which a probe was settled. The worst leg
    counts, and of one leg the last probe."""

    def __init__(self, settings: Settings, began: float) -> None:
        self.ledger = Ledger()
        self.times: list[float] = []
        self.until = began
        self._began = began
        self._period = settings.round or 1.0
        self._index = -1
        self._brought: dict[tuple[PathId, int], float | None] = {}
        self.last: dict[PathId, float | None] = {}

    def event(self, now: float, event: Event | None) -> bool:
        """Whether a round ended before this event."""
        index = floor((now - self._began) / self._period)
        ended = index > self._index and bool(self._brought)
        if ended:
            self.end()
        self._index = index
        self.until = now
        if isinstance(event, Configured):
            self._began, self._period, self._index = now, event.settings.round or 1.0, -1
        elif isinstance(event, Probed) and event.outcome in SETTLED:
            self._brought[event.path, event.leg] = None if event.outcome is Became.LOST else event.rtt * 1000.0
        return ended

    def end(self) -> None:
        if not self._brought:
            return
        worst: dict[PathId, float | None] = {}
        for (path, _), rtt in self._brought.items():
            known = worst.get(path, 0.0)
            worst[path] = None if rtt is None or known is None else max(known, rtt)
        self._brought = {}
        self.times.append(self.until)
        self.ledger.add(list(worst), list(worst.values()))
        self.last = worst


def replay(
    name: str,
    beginning: Beginning,
    events: Iterable[tuple[float, Event | None]],
    *,
    policy: PolicyId | None = None,
    prices: Sequence[float] = (),
    baselines: bool = False,
) -> Outcome:
    """Replay a recording: the decisions of all policies, and figures for ``policy`` (None: the first).

    A sample is a round of the engine; J settles prices, which are in ms*s, in ms per such sample.
    """
    settings = beginning.settings
    chosen = policy or next((one.policy for one in settings.policies), None)
    rounds = _Rounds(settings, beginning.now)
    comparison = Comparison() if baselines else None
    switches: list[dict[str, Any]] = []
    probes = 0

    def watched() -> Iterator[tuple[float, Event | None]]:
        nonlocal probes
        for now, event in events:
            if isinstance(event, Probed) and event.outcome in SETTLED:
                probes += 1
            if rounds.event(now, event) and comparison is not None:
                comparison.observe(rounds.times[-1], list(rounds.last), list(rounds.last.values()))
            yield now, event

    for _, effect in effects(beginning, watched()):
        if not isinstance(effect, Switched):
            continue
        switches.append(_told(effect, beginning))
        if effect.policy == chosen:
            rounds.ledger.choose(effect.new)
    rounds.end()
    account = rounds.ledger.account()
    scale = 1.0 / (settings.round or 1.0)
    return Outcome(
        trace=name,
        rule=rule_name(settings),
        rows=probes,
        names={path: path for path in account.columns},
        switches=switches,
        seconds=rounds.until - beginning.now,
        account=account,
        choices=rounds.ledger.choices,
        prices=[price * scale for price in dict.fromkeys((own_price(settings), *prices))],
        baselines=comparison.choices() if comparison is not None else {},
        times=[time - beginning.now for time in rounds.times],
        more={"policy": chosen, "round_s": settings.round},
    )


def _told(switched: Switched, beginning: Beginning) -> dict[str, Any]:
    since = switched.at - beginning.now
    return {
        "time_s": since,
        "from": switched.old,
        "to": switched.new,
        "reason": str(switched.reason),
        "rule": switched.rule,
        "policy": switched.policy,
        "event_id": switched.event_id,
        "at": switched.at,
        "wall_ms": beginning.wall_ms + round(since * 1000.0),
    }
