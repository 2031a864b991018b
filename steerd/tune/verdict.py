"""Whether what was found is better, and not by chance: judged on what the search has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

WORTH_MS: Final = 0.1
WORTH: Final = 0.05
"""What is better by fewer ms a sample, or by a smaller share of what hindsight could have saved, is not worth a
change."""

CHANCE: Final = 0.05
"""How likely it may be, at most, that chance alone would have brought as much."""

QUIET: Final = 0.1
"""Where staying on one path would have done as well, only what is better by this share of J counts: such
traces can show that a rule is restless, but not how soon it has to move when something happens."""

WORSE: Final = 0.03
"""No unseen trace may become worse by more than this share of its J (and by more than `OF_GAIN`)."""

OF_GAIN: Final = 0.5
"""Nor by more than this share of what all of the unseen part gains, in ms a sample."""

DRAWS: Final = 4000
SEED: Final = 3


@dataclass(frozen=True, slots=True)
class Gain:
    """What a side gains: ``ms`` a sample on average; that as a ``share`` of J, and of what J exceeds hindsight by
    (``of_excess``); how likely chance alone would bring as much (``chance``); and the same for what it gains
    against staying on one path (``chance_of_staying``)."""

    ms: float
    share: float
    of_excess: float
    chance: float
    chance_of_staying: float


def gain(
    present: Sequence[float], found: Sequence[float], staying: Sequence[float], optimum: float, counted: int
) -> Gain:
    """Of the costs of each block, in ms, of the whole cost in hindsight, and the number of samples that they are
    of."""
    differences = _less(present, found)
    total, before = sum(differences), sum(present)
    return Gain(
        ms=total / counted,
        share=total / before if before > 0.0 else 0.0,
        of_excess=total / (before - optimum) if before > optimum else 0.0,
        chance=by_chance(differences),
        chance_of_staying=by_chance(_less(staying, found)),
    )


def by_chance(differences: Sequence[float]) -> float:
    """How likely the sum of the differences would be at least as great if each might as well have had the other sign:
    a paired randomisation test (Fisher, "The Design of Experiments", 1935) with drawn signs. It takes
    no shape of their distribution for granted, and a few great ones prove nothing."""
    told = [difference for difference in differences if difference != 0.0]
    total = sum(told)
    if total <= 0.0:
        return 1.0
    random = Random(SEED)  # noqa: S311
    least = total * (1.0 - 1e-9)
    as_great = 1
    for _ in range(DRAWS):
        signs = random.getrandbits(len(told))
        drawn = 0.0
        for difference in told:
            drawn += difference if signs & 1 else -difference
            signs >>= 1
        as_great += drawn >= least
    return as_great / (DRAWS + 1)


def objections(seen: Gain, unseen: Gain, traces: Sequence[tuple[str, float, float]]) -> list[str]:
    """Why what was found is not to be recommended, in words; none: it is. ``traces`` are the unseen ones, each with
    its J at present and with what was found."""
    found = []
    for name, side in (("searched", seen), ("unseen", unseen)):
        if side.ms <= 0.0:
            found.append(f"on the {name} part it is worse, by {-side.ms:.2f} ms")
        elif side.ms < WORTH_MS or side.of_excess < WORTH:
            found.append(f"on the {name} part it is better by {side.ms:.2f} ms, which is not worth a change")
        elif side.chance > CHANCE:
            found.append(
                f"on the {name} part it is better by {side.ms:.2f} ms, which may be chance: that would bring as "
                f"much in {100.0 * side.chance:.0f} of 100 cases"
            )
        elif side is unseen and side.chance_of_staying > CHANCE and side.share < QUIET:
            found.append(
                f"on the {name} part it is better by {side.ms:.2f} ms, but no better than staying on one path: too "
                "little happens there to learn from"
            )
    if unseen.ms > 0.0:
        found += [
            f"{name} would become markedly worse: J {present:.1f} to {new:.1f} ms"
            for name, present, new in traces
            if new - present > max(WORSE * present, OF_GAIN * unseen.ms)
        ]
    return found


def _less(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]
