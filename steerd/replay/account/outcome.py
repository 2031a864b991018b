"""What a replay found: the choices of the rule and of others, and the account of what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from steerd.core.settings import PanelSettings, PathId, RegretSettings, Settings, ThresholdSettings
from steerd.replay.account.figures import figures, moves
from steerd.replay.account.price import Account
from steerd.replay.account.samples import Samples
from steerd.replay.trace.track import Choices


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trace or recording, replayed. ``switches`` are as ``steerd replay --json`` prints them. ``names`` gives the
    paths by the names that the trace has for them, ``prices`` (ms per switch) the rule's own first. ``choices`` are by
    ``samples``, whose times are the trace's own. ``began`` is the first time, by which switches are told. ``adopted``:
    the path that was in use already. ``more`` goes into the summary beside the figures."""

    trace: str
    rule: str
    rows: int
    names: Mapping[str, PathId]
    switches: Sequence[Mapping[str, Any]]
    began: float
    samples: Samples
    account: Account
    choices: Choices
    prices: Sequence[float]
    baselines: Mapping[str, Choices] = field(default_factory=dict)
    adopted: PathId | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """The object that ``steerd replay --json`` prints for one trace."""
        own = self.figures(self.choices)
        own["switches"] = sum(1 for switch in self.switches if switch["from"] is not None)
        samples = self.samples
        sampled = {"seconds": samples.seconds, "pauses": samples.pauses, "grid_s": samples.step}
        summary = {"rows": self.rows, "paths": list(self.names), "rule": self.rule, **own, **sampled, **self.more}
        if self.adopted is not None:
            summary["adopted"] = self.adopted
        if self.baselines:
            summary["baselines"] = [{"rule": name, **self.figures(choices)} for name, choices in self.baselines.items()]
        return {"trace": self.trace, "switches": list(self.switches), "summary": summary}

    def figures(self, choices: Choices) -> dict[str, Any]:
        """What these choices brought; None: unknown. J and gap left at the rule's own price, and at all if several."""
        scores = [{"price": price, **self.account.score(choices, price)._asdict()} for price in self.prices]
        found: dict[str, Any] = {
            "switches": moves(choices),
            **scores[0],
            **figures(self.account, choices, self.samples.seconds)._asdict(),
        }
        if len(scores) > 1:
            found["prices"] = [
                {name: _known(one[name]) for name in ("price", "j", "j_start", "j_optimum", "gap_left")}
                for one in scores
            ]
        return {name: _known(value) for name, value in found.items()}


def _known(value: Any) -> Any:
    return value if not isinstance(value, float) or isfinite(value) else None


def own_price(settings: Settings) -> float:
    """The price, in ms per switch, that the rule goes by, or the default one's for a rule without a price."""
    return (PanelSettings() if isinstance(settings.rule, ThresholdSettings) else settings.rule).price


def rule_name(settings: Settings) -> str:
    """What the configuration calls the rule."""
    match settings.rule:
        case PanelSettings():
            return settings.rule.only or "panel"
        case RegretSettings():
            return "regret"
        case ThresholdSettings():
            return "threshold"
