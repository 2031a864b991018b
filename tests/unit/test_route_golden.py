"""Plans as they are printed, for whole configurations: `tests/golden/plan/*.txt`, from the files beside them.

A change to what steerd puts into the kernel shows here as what an operator would see of it. When it is meant::

    STEERD_GOLDEN=write make test TESTS=tests/unit/test_route_golden.py

writes all of them anew; read the difference before it is committed. A case is a list of steps, each from the state
that the one before it left; the first finds an empty kernel. That the kernel takes these lines, and that they come to
what the daemon does, is asserted in `tests/lab/test_route_golden.py`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from steerd.config.gateway.load import load
from steerd.config.route_settings import RouteSettings
from steerd.core.events import Share
from steerd.route.model.numbers import allocate
from steerd.route.model.objects import State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted import commands
from steerd.route.wanted.adopt import adopt
from steerd.route.wanted.choice import Choice, ways_out
from steerd.route.wanted.desired import Circumstances, desired
from steerd.route.wanted.diff import difference
from steerd.route.wanted.selection import selections

FOLDER = Path(__file__).parents[1] / "golden" / "plan"


class Step(NamedTuple):
    """A configuration taken up, and what is then chosen anew."""

    what: str
    file: str
    choices: Mapping[str, Choice] = {}


FRA, AMS, LTE = "fra/fra", "ams/ams", "lte/lte"
CASES = {
    "gateway": [
        Step("the first start: probes alone", "gateway.toml"),
        Step("the first choices", "gateway.toml", {"cloud": Choice(FRA, AMS), "guests": Choice(AMS, FRA)}),
        Step("a switch", "gateway.toml", {"cloud": Choice(AMS, FRA)}),
        Step("blocked", "gateway.toml", {"cloud": Choice(None, None)}),
    ],
    "via": [
        Step("by the path that carries IPv4 alone", "via.toml", {"all": Choice(LTE, AMS)}),
        Step("by the one that carries both", "via.toml", {"all": Choice(AMS, LTE)}),
    ],
    "own": [Step("own traffic too", "own.toml", {"all": Choice(FRA, AMS), "lan": Choice(AMS, None)})],
    "plain": [
        Step("without nexthop objects", "plain.toml", {"cloud": Choice(FRA, AMS), "guests": Choice(AMS, FRA)}),
        Step("a switch", "plain.toml", {"cloud": Choice(AMS, FRA)}),
    ],
    "spread": [
        Step("two share, one stands by", "spread.toml", {"all": Choice(FRA, LTE, (Share(FRA, 0.6), Share(AMS, 0.4)))}),
        Step("in other parts", "spread.toml", {"all": Choice(FRA, LTE, (Share(FRA, 0.3), Share(AMS, 0.7)))}),
        Step("one alone", "spread.toml", {"all": Choice(AMS, LTE)}),
    ],
    "removed": [
        Step("two tunnels", "gateway.toml", {"cloud": Choice(AMS, FRA), "guests": Choice(FRA, AMS)}),
        Step("one is removed: traffic stays on it", "removed.toml"),
        Step("until there is a choice", "removed.toml", {"cloud": Choice(FRA, None)}),
        Step("adopted as it is", "removed.toml"),
    ],
}


def settings_of(step: Step) -> RouteSettings:
    return load(FOLDER / step.file).route


def golden(case: str) -> list[list[str]]:
    """The lines of each step, as they are kept."""
    steps = (FOLDER / f"{case}.txt").read_text().split("# ")[1:]
    return [[line for line in step.splitlines()[1:] if line] for step in steps]


def planned(settings: RouteSettings, step: Step, found: State) -> State:
    """What there should be, on a machine where every device is up and nothing is refused."""
    chosen = selections(settings, found.rules)
    adopted = adopt(settings, chosen, found)
    choices = {**adopted.choices, **step.choices}
    ways = ways_out([*settings.paths, *adopted.strangers.values()])
    policies = [(one.policy, family) for one in settings.policies for family in FAMILIES]
    ids = allocate(settings, policies, ways, found, adopted.groups)
    circumstances = Circumstances(adopted.strangers, ways, ids, nexthop_objects=settings.nexthop_objects)
    return desired(settings, chosen, choices, circumstances)


@pytest.mark.parametrize("case", CASES)
def test_plans_are_as_they_were(case):
    state, text = State(), []
    for step in CASES[case]:
        settings = settings_of(step)
        wanted = planned(settings, step, state)
        shown = commands.lines(difference(state, wanted), settings.protocol)
        text.append("\n".join([f"# {step.what} ({step.file})", *shown]) + "\n")
        assert not difference(wanted, planned(settings, step, wanted)), "a plan is not at rest when it is done"
        state = wanted
    if os.environ.get("STEERD_GOLDEN") == "write":
        (FOLDER / f"{case}.txt").write_text("\n".join(text))
    assert "\n".join(text) == (FOLDER / f"{case}.txt").read_text()


def test_every_golden_file_has_its_case():
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(CASES)
    assert {file.name for file in FOLDER.glob("*.toml")} == {step.file for steps in CASES.values() for step in steps}
