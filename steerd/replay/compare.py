"""The other rules beside ours, on the samples of one trace."""

from collections.abc import Mapping

from steerd.core.settings import PanelSettings, PathId, Settings
from steerd.replay.account.samples import Samples
from steerd.replay.baselines import BASELINES, Baseline
from steerd.replay.baselines.member import NAMES, OneMember
from steerd.replay.trace.track import Choices


def compare(samples: Samples, settings: Settings, *, cut_short: bool = False) -> Mapping[str, Choices]:
    """From which sample on each of `BASELINES` would have used which path, and each member of the panel alone, if
    ``settings`` ask for the panel. ``cut_short``: rows are missing in the last sample, so that it decides nothing, as
    for the engine."""
    alone = NAMES if isinstance(settings.rule, PanelSettings) else ()
    rules: dict[str, Baseline] = {
        **{name: make() for name, make in BASELINES.items()},
        **{f"{name} alone": OneMember(name, settings) for name in alone},
    }
    found: dict[str, list[tuple[int, PathId | None]]] = {name: [(0, None)] for name in rules}
    last = len(samples.times) - 1 if cut_short else len(samples.times)
    for number, (time, brought) in enumerate(samples.shown()):
        if number == last:
            break
        for rule, choices in zip(rules.values(), found.values(), strict=True):
            path = rule.observe(time, brought)
            if path != choices[-1][1]:
                choices.append((number + 1, path))
    return found
