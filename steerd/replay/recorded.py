"""A daemon's recording through the engine again: the same settings, memory, seed and events, so the same effects."""

from collections.abc import Iterable, Iterator, Sequence
from math import floor
from random import Random
from typing import Any, Final, Protocol

from steerd.core.effects import Effect, Switched
from steerd.core.engine import Engine
from steerd.core.events import SETTLED, Configured, Event, Installed, Observed, Probed
from steerd.core.events import Outcome as Became
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PolicyId, Settings
from steerd.replay.account.outcome import Outcome, own_price, rule_name
from steerd.replay.account.price import Ledger, account
from steerd.replay.compare import compare
from steerd.replay.trace.reading import TraceError
from steerd.status.savings import Savings

TIME_MAX: Final = 2.0**40
"""Seconds: beyond them a clock is too coarse for rounds."""

ROUND_MIN: Final = 0.001
LEGS_MAX: Final = 16


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


def effects(
    beginning: Beginning, events: Iterable[tuple[float, Event | Observed | None]], name: str = "recording"
) -> Iterator[tuple[float, Effect]]:
    """All that the daemon's engine wanted and said, each with the time of the event that brought it. A deadline's
    effects come with the event after it.

    Raises:
        TraceError: no daemon's engine can have been fed this. The message has ``name`` and the line.
    """
    try:
        _check(beginning.settings)
        engine = Engine(
            beginning.settings,
            beginning.memory,
            now=beginning.now,
            epoch=beginning.epoch,
            draw=Random(beginning.seed).random,  # noqa: S311 (the same draws again)
        )
    except Exception as error:
        raise _impossible(name, 1, error) from error
    for line, (now, event) in enumerate(events, 2):
        try:
            wanted = _fed(engine, event, now)
        except Exception as error:
            raise _impossible(name, line, error) from error
        for effect in wanted:
            yield now, effect


def _fed(engine: Engine, event: Event | Observed | None, now: float) -> Sequence[Effect]:
    if not -TIME_MAX <= now <= TIME_MAX:
        raise ValueError(f"no clock shows the time {now:g}")
    if isinstance(event, Probed) and not -TIME_MAX <= event.sent_at + event.rtt <= TIME_MAX:
        raise ValueError(f"sent at {event.sent_at:g}, with an RTT of {event.rtt:g} s")
    if isinstance(event, Configured):
        _check(event.settings)
    return () if isinstance(event, Observed) else engine.feed(event, now)


def _check(settings: Settings) -> None:
    """Settings with which an engine would not come to an end. ValueError: these are some."""
    if settings.round != 0.0 and not ROUND_MIN <= settings.round <= TIME_MAX:
        raise ValueError(f"a round of {settings.round:g} s")
    if any(not 1 <= path.legs <= LEGS_MAX for path in settings.paths):
        raise ValueError("a path with too many targets, or none")


def _impossible(name: str, line: int, error: Exception) -> TraceError:
    return TraceError(f"{name}:{line}: cannot be replayed: {str(error) or type(error).__name__:.200}")


class _Rounds:
    """A recording's probes as samples: one for each round of the engine in which a probe was settled. The worst leg
    counts, and of one leg the last probe."""

    def __init__(self, settings: Settings, began: float) -> None:
        self.ledger = Ledger(rounds=True)
        self.until = began
        self._since = self._began = began
        self._period = settings.round or 1.0
        self._index = -1
        self._brought: dict[tuple[PathId, int], float | None] = {}

    def event(self, now: float, event: Event | Observed | None) -> None:
        """Before the engine is fed."""
        if not -TIME_MAX <= now <= TIME_MAX:
            return  # no time: the engine is not fed it either
        now = max(now, self.until)  # times of samples never go back
        index = floor((now - self._began) / self._period)
        if index > self._index:
            self.end()
        self._index = index
        self.until = now
        if isinstance(event, Configured):
            self._began, self._period, self._index = now, event.settings.round or 1.0, -1
        elif isinstance(event, Probed) and event.outcome in SETTLED:
            self._brought[event.path, event.leg] = None if event.outcome is Became.LOST else event.rtt * 1000.0

    def end(self) -> None:
        if not self._brought:
            return
        worst: dict[PathId, float | None] = {}
        for (path, _), rtt in self._brought.items():
            known = worst.get(path, 0.0)
            worst[path] = None if rtt is None or known is None else max(known, rtt)
        self._brought = {}
        self.ledger.add(list(worst), list(worst.values()), self.until - self._since)


def replay(
    name: str,
    beginning: Beginning,
    events: Iterable[tuple[float, Event | Observed | None]],
    *,
    policy: PolicyId | None = None,
    prices: Sequence[float] = (),
    baselines: bool = False,
) -> Outcome:
    """Replay a recording: the decisions of all policies, and figures for ``policy`` (None: the first).

    A sample is a round of the engine; J settles prices, which are in ms*s, in ms per such sample.

    Raises:
        TraceError: see `effects`.
    """
    settings = beginning.settings
    chosen = policy or next((one.policy for one in settings.policies), None)
    rounds = _Rounds(settings, beginning.now)
    switches: list[dict[str, Any]] = []
    probes = 0
    decided = False
    adopted: PathId | None = None
    savings = Savings()

    def watched() -> Iterator[tuple[float, Event | Observed | None]]:
        nonlocal probes, decided, adopted
        for now, event in events:
            rounds.event(now, event)
            savings.told(event, now)
            if isinstance(event, Probed):
                probes += event.outcome in SETTLED
            elif isinstance(event, Installed) and event.policy == chosen and event.best and not decided:
                # Before anything was decided: what the kernel had from the run before is in use.
                decided, adopted = True, event.best
                rounds.ledger.choose(adopted)
            yield now, event

    for _, effect in effects(beginning, watched(), name):
        if not isinstance(effect, Switched):
            continue
        savings.switched(effect)
        switches.append(_told(effect, beginning))
        if effect.policy == chosen:
            decided = True
            rounds.ledger.choose(effect.new)
    rounds.end()
    samples = rounds.ledger.samples()
    priced = account(samples, rounds.ledger.choices)
    scale = 1.0 / (settings.round or 1.0)
    return Outcome(
        trace=name,
        rule=rule_name(settings),
        rows=probes,
        names={path: path for path in priced.columns},
        switches=switches,
        began=0.0,
        samples=samples,
        account=priced,
        choices=rounds.ledger.choices,
        prices=[price * scale for price in dict.fromkeys((own_price(settings), *prices))],
        baselines=compare(samples, settings) if baselines else {},
        adopted=adopted,
        more={"policy": chosen, "round_s": settings.round} | _saved(savings),
    )


def _saved(savings: Savings) -> dict[str, Any]:
    """Of a daemon that only observed."""
    found = {policy: one.figures() for policy, one in savings.report().items() if one.path or one.words}
    return {"savings": found} if found else {}


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
