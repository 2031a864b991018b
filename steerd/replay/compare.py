"""The other rules beside ours, on the samples of one trace."""

from collections.abc import Sequence

from steerd.core.model import Swept
from steerd.core.settings import PathId
from steerd.replay.baselines import BASELINES
from steerd.replay.price import Choices
from steerd.replay.trace import Trace


class Comparison:
    """What every one of `BASELINES` would have used."""

    def __init__(self) -> None:
        self._rules = [make() for make in BASELINES.values()]
        self._choices: list[list[tuple[int, PathId | None]]] = [[(0, None)] for _ in BASELINES]
        self._samples = 0

    def sample(self, trace: Trace, swept: Swept) -> None:
        """See `steerd.replay.run.Watcher`. A time with rows missing decides nothing, as for the engine."""
        if not trace.cut_short:
            self.observe(swept.sent_at, swept.paths, swept.rtts)

    def observe(self, time: float, paths: Sequence[PathId], rtts: Sequence[float | None]) -> None:
        """What the probes of one time brought, in ms; of two for one path the later one counts."""
        self._samples += 1
        brought = dict(zip(paths, rtts, strict=True))
        for rule, choices in zip(self._rules, self._choices, strict=True):
            path = rule.observe(time, brought)
            if path != choices[-1][1]:
                choices.append((self._samples, path))

    def choices(self) -> dict[str, Choices]:
        """From which sample on each rule would have used which path."""
        return dict(zip(BASELINES, self._choices, strict=True))


class Times:
    """Keeps the time of every sample."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def sample(self, trace: Trace, swept: Swept) -> None:  # noqa: ARG002
        """See `steerd.replay.run.Watcher`."""
        self.times.append(swept.sent_at)
