"""The plans of `tests/golden/plan`, carried out: the kernel takes the printed lines, and then has exactly what the
daemon's own router makes of the same settings and choices."""

import subprocess
from collections.abc import Iterable, Iterator
from itertools import groupby

import pytest

from steerd.core.effects import Steer
from steerd.core.settings import PathId, PolicyId
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import State
from steerd.route.once import plan
from tests.lab.test_route_world import Gateway, Heard, ip, reconfigure, routing
from tests.unit.test_route_golden import CASES, Step, golden, settings_of

pytestmark = pytest.mark.lab

NEXT_HOP = "100.64.7.1"


class Tunnels(Gateway):
    """With the devices that the configurations name, and the next hop in reach."""

    def __init__(self) -> None:
        super().__init__("fra", "ams", "lte")

    def build(self) -> None:
        super().build()
        ip("addr", "add", "100.64.7.2/24", "dev", "lte")
        with Kernel() as kernel:
            if not kernel.nexthop_objects:
                pytest.skip("resilient nexthop groups need Linux 5.13")


def planned(step: Step) -> list[str]:
    """What is left to do, by the kernel that there is; nftables has tests of its own."""
    return [line for line in plan(settings_of(step), step.choices).lines if line.startswith("ip ")]


def batches(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """Commands of `ip`, in order, each with what it reads: one has one family."""
    for options, group in groupby(lines, key=lambda line: ["ip", "-6"] if line.startswith("ip -6 ") else ["ip"]):
        yield options, "".join(line.removeprefix(" ".join(options) + " ") + "\n" for line in group)


def carry_out(lines: Iterable[str]) -> None:
    for command, text in batches(lines):
        done = subprocess.run(
            [*command, "-batch", "-"], input=text, capture_output=True, text=True, timeout=20, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), text


def state(step: Step) -> State:
    with Kernel() as kernel:
        return kernel.read(settings_of(step)).ours


def by_commands(steps: list[Step]) -> list[State]:
    found = []
    with Tunnels():
        assert ip("nexthop") == ""
        for step, kept in zip(steps, golden_of(steps), strict=True):
            lines = planned(step)
            assert lines == kept, step.what
            carry_out(lines)
            assert planned(step) == [], step.what
            found.append(state(step))
    return found


def golden_of(steps: list[Step]) -> list[list[str]]:
    return golden(next(name for name, case in CASES.items() if case is steps))


def by_router(steps: list[Step]) -> list[State]:
    async def run() -> list[State]:
        found = []
        router = Heard().router(settings_of(steps[0]))
        await router.start()
        file = steps[0].file
        for step in steps:
            if step.file != file:
                await reconfigure(router, settings_of(step))
                file = step.file
            for policy, (best, runner_up, shares) in step.choices.items():
                said = await router.steer(
                    Steer(PolicyId(policy), best and PathId(best), runner_up and PathId(runner_up), "1-1", shares)
                )
                assert (said.best, said.error) == (best, None)
            found.append(state(step))
            assert planned(step) == [], step.what
        await router.stop()
        return found

    with Tunnels():
        return routing(run())


@pytest.mark.parametrize("case", CASES)
def test_printed_lines_come_to_what_the_router_makes(case):
    steps = CASES[case]
    commands, router = by_commands(steps), by_router(steps)
    assert commands[0].rules
    for step, one, other in zip(steps, commands, router, strict=True):
        assert one == other, step.what
