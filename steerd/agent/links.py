"""How far other PoPs and services are from this one: the prober's outcomes, and what is believed of each link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from steerd.config.probe_settings import ProbePath, ProbeSettings
from steerd.core.belief.estimate import Estimate
from steerd.core.events import BackboneLink, Outcome, Probed
from steerd.core.settings import PathId
from steerd.probe.change import ProbeChange
from steerd.probe.prober import Prober

SILENT: Final = 5
"""Probes in a row that were lost, after which a link is said to lose all."""


@dataclass(slots=True)
class Link:
    """One of them, and how many probes in a row were lost there."""

    path: ProbePath
    estimate: Estimate
    lost: int = field(default=0)

    def outcome(self, event: Probed) -> None:
        """What became of a probe of it."""
        estimate = self.estimate
        match event.outcome:
            case Outcome.REPLY | Outcome.LATE:
                if event.outcome is Outcome.LATE:
                    estimate.undo_loss(event.sent_at)
                estimate.reply(1e3 * event.rtt, event.sent_at)
                self.lost = 0
            case Outcome.OVERDUE:
                estimate.overdue(event.sent_at)
            case Outcome.LOST:
                estimate.lost(event.sent_at)
                self.lost += 1


class Links:
    """Measures from `start` to `close`. What a link answered once is said until it is configured no more: when nothing
    answers there any longer, with a loss of 1. Of a link that never answered nothing is said: unknown is not bad.
    ``seed`` spreads agents apart in phase."""

    def __init__(self, settings: ProbeSettings, half_life: float, *, seed: int) -> None:
        self._half_life = half_life
        self._links: Mapping[PathId, Link] = {}
        self.configure(settings, half_life)
        self._prober = Prober(settings, on_outcome=self.outcome, seed=seed)
        self.start, self.close = self._prober.start, self._prober.close

    def measured(self) -> Sequence[BackboneLink]:
        """Each link that has answered."""
        return [
            BackboneLink(one.path.pop, one.estimate.mean, 1.0 if one.lost >= SILENT else min(1.0, one.estimate.loss))
            for one in self._links.values()
            if one.estimate.samples
        ]

    async def prepare(self, settings: ProbeSettings) -> ProbeChange:
        """Make ready to measure these, of which `configure` has to be told, too. ProbeError: this machine cannot."""
        return await self._prober.prepare(settings)

    def configure(self, settings: ProbeSettings, half_life: float) -> None:
        """These are measured from now on. What is known of those that stay as they are is kept."""
        before = self._links if half_life == self._half_life else {}
        self._half_life = half_life
        made = {path.path: Link(path, Estimate(half_life)) for path in settings.paths}
        self._links = {
            id_: old if (old := before.get(id_)) and old.path == new.path else new for id_, new in made.items()
        }

    def outcome(self, event: Probed) -> None:
        """What became of a probe."""
        if (link := self._links.get(event.path)) is not None:
            link.outcome(event)
