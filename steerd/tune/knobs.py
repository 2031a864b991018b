"""The knobs that are searched: what is a matter of the network, and none that is a matter of preference.

``switch_price`` is none of them: it says what a switch is worth to the user, and is what J is settled at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, Self

from steerd.config.document import Document
from steerd.config.durations import show
from steerd.core.settings import RegretSettings, Settings, ThresholdSettings

Rule = Literal["regret", "threshold"]


class Knob(NamedTuple):
    """A number of the configuration: the table that it stands in, its unit in `Knobs`, and the values that are
    tried, all of them such as a person would write."""

    table: str
    unit: Literal["s", "ms", "ratio", "number"]
    grid: tuple[float, ...]

    def toml(self, value: float) -> str | float:
        """The value as it is written in the configuration."""
        match self.unit:
            case "s":
                return show(value)
            case "ms":
                return f"{value:.9g}ms"
            case "ratio":
                return f"{100.0 * value:.9g}%"
            case "number":
                return value


_HALF_LIFE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0)
_JITTER_WEIGHT = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_LOSS_PENALTY = (0.0, 25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 600.0, 1000.0, 2000.0)
_IGNORE_BELOW = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0)
_MARGIN = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
_MARGIN_MS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0)
_HOLD = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 60.0)

KNOBS: Final[Mapping[str, Knob]] = {
    "half_life": Knob("score", "s", _HALF_LIFE),
    "jitter_weight": Knob("score", "number", _JITTER_WEIGHT),
    "loss_penalty": Knob("score", "ms", _LOSS_PENALTY),
    "ignore_below": Knob("steer", "ms", _IGNORE_BELOW),
    "margin": Knob("steer", "ratio", _MARGIN),
    "margin_ms": Knob("steer", "ms", _MARGIN_MS),
    "hold": Knob("steer", "s", _HOLD),
}
"""By their key; `rule`, the only one that is no number, is searched beside them."""

OF_THRESHOLD: Final = frozenset({"margin", "margin_ms", "hold"})
KEYS: Final = ("half_life", "jitter_weight", "loss_penalty", "ignore_below", "rule", "margin", "margin_ms", "hold")
"""All of them, in the order in which they are written."""


class Change(NamedTuple):
    """A key whose value becomes another; both as they are written."""

    table: str
    key: str
    old: str | float
    new: str | float


@dataclass(frozen=True, slots=True)
class Knobs:
    """One setting of all knobs, in the units of `steerd.core.settings`."""

    rule: Rule
    half_life: float
    jitter_weight: float
    loss_penalty: float
    ignore_below: float
    margin: float
    margin_ms: float
    hold: float

    @classmethod
    def of(cls, document: Document) -> Self:
        """Those of a configuration, also where it leaves them at their default."""
        score, steer = document.score, document.steer
        return cls(
            rule=steer.rule,
            half_life=score.half_life,
            jitter_weight=score.jitter_weight,
            loss_penalty=score.loss_penalty,
            ignore_below=steer.ignore_below,
            margin=steer.margin,
            margin_ms=steer.margin_ms,
            hold=steer.hold,
        )

    def settings(self, present: Settings, price: float) -> Settings:
        """The present settings with these knobs, and with this price (ms per switch) for a rule that has one."""
        return replace(
            present,
            rule=(
                RegretSettings(price)
                if self.rule == "regret"
                else ThresholdSettings(self.margin, self.margin_ms, self.hold)
            ),
            half_life=self.half_life,
            jitter_weight=self.jitter_weight,
            loss_penalty=self.loss_penalty,
            ignore_below=self.ignore_below,
        )

    def numbers(self) -> Iterator[str]:
        """The keys of those numbers that do something with this rule."""
        for key in KNOBS:
            if self.rule == "threshold" or key not in OF_THRESHOLD:
                yield key

    def put(self, values: Mapping[str, Any]) -> Self:
        """The same with other values, by their keys."""
        return replace(self, **values)

    def value(self, key: str) -> Any:
        """The value of a key."""
        return getattr(self, key)

    def toml(self, key: str) -> str | float:
        """The value of a key as it is written in the configuration."""
        return self.rule if key == "rule" else KNOBS[key].toml(self.value(key))

    def changes(self, found: "Knobs") -> list[Change]:
        """What has to be written for these knobs to become those ``found``."""
        keys = ["rule", *found.numbers()]
        return [
            Change(KNOBS[key].table if key in KNOBS else "steer", key, self.toml(key), found.toml(key))
            for key in sorted(keys, key=KEYS.index)
            if self.value(key) != found.value(key)
        ]
