"""What is decided does not depend on how often the same measurements are told."""

from itertools import accumulate
from random import Random

import pytest

from steerd.core.effects import Steer
from steerd.core.engine import Engine
from steerd.core.events import Installed, Swept
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings

PATHS = tuple(PathId(f"{name}/w") for name in "abcd")


def choices(samples, copies):
    """The choice after each of the rows, of which each sample makes so many, a second in all."""
    settings = Settings(
        paths=tuple(PathSettings(path, path, path) for path in PATHS),
        policies=(PolicySettings(PolicyId("all")),),
        round=0.0,
    )
    engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.5)
    choice, found = None, []
    for row in range(len(samples) * copies):
        now = row / copies
        for effect in engine.sweep(Swept(now, PATHS, samples[row // copies]), now):
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up), now)
                choice = effect.best
        found.append(choice)
    return found


def weather(seed, seconds):
    """Four paths with noise, steps and detours, sampled once a second."""
    draw = Random(seed)
    usual = [draw.uniform(20.0, 60.0) for _ in PATHS]
    noise = [draw.choice((0.3, 1.0, 3.0, 8.0)) for _ in PATHS]

    def next_(detours, _):
        return [draw.choice((0.0, 0.0, draw.uniform(-10.0, 60.0))) if draw.random() < 1 / 200 else d for d in detours]

    return [
        tuple(max(1.0, base + detour + draw.gauss(0.0, sd)) for base, detour, sd in zip(usual, row, noise, strict=True))
        for row in accumulate(range(seconds - 1), next_, initial=[0.0] * len(PATHS))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_told_once_a_second_or_held_and_told_five_times(seed):
    samples = weather(seed, 1200)
    once, often = choices(samples, 1), choices(samples, 5)
    assert len(set(once)) > 1
    same = sum(once[row // 5] == choice for row, choice in enumerate(often))
    assert same >= 0.97 * len(often)
