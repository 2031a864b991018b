"""A process that is killed at any moment of a reload, and another that takes over: is the kernel's state the plan?

``python -m tests.lab.crashes [RUNS]``; each run has a seed, printed where it fails.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.route_world import POLICY, World, prefixes, routing, settings, steer
from steerd.config.route_settings import RouteSettings
from steerd.lab.enclosure import run
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import State
from steerd.route.once import cleanup, plan, size
from steerd.route.router import Router
from steerd.route.wanted.choice import Choice

NUMBER = 5_000
"""Prefixes of each family, of which a reload replaces half."""
OLD, NEW = settings(prefixes(NUMBER)), settings(prefixes(NUMBER, NUMBER // 2))
_LIMIT = 10.0


def state() -> State:
    with Kernel() as kernel:
        return kernel.read(NEW).ours


def routed(given: RouteSettings, work: Callable[[Router], Coroutine[Any, Any, Any]]) -> None:
    """What a daemon would do, in a loop of its own."""

    async def whole() -> None:
        router = routing(given)
        await router.start()
        try:
            async with asyncio.timeout(_LIMIT):
                await work(router)
        finally:
            await router.stop()

    asyncio.run(whole())


async def _switch(router: Router) -> None:
    installed = await router.steer(steer("b"))
    assert (installed.best, installed.error) == ("b", None), installed


def undisturbed() -> tuple[State, float]:
    """What comes of it when nobody is killed, and how many seconds the reload takes."""
    took = 0.0

    async def work(router: Router) -> None:
        nonlocal took
        await router.steer(steer("a"))
        began = time.monotonic()
        await (await router.prepare(NEW)).commit()
        took = time.monotonic() - began
        await _switch(router)

    routed(OLD, work)
    return state(), took


def killed(after: float) -> None:
    """A process that reloads, and is killed ``after`` so many seconds of it."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:

        async def work(router: Router) -> None:
            await router.steer(steer("a"))
            os.write(tell, b"!")
            await (await router.prepare(NEW)).commit()
            await asyncio.sleep(_LIMIT)

        try:
            routed(OLD, work)
        finally:
            os._exit(1)
    try:
        os.close(tell)
        assert os.read(ready, 1) == b"!"
        time.sleep(after)
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def scene(seeds: list[int]) -> list[dict[str, Any]]:
    """For each seed: how far the reload was when it was killed, and whether all was as it should be afterwards.
    In an enclosure."""
    found = []
    with World():
        wanted, took = undisturbed()
        cleanup(NEW)
        for seed in seeds:
            # Mostly in its middle: it begins and ends with reading.
            after = took * random.Random(seed).triangular(0, 1.1, 0.55)
            killed(after)
            left = state()
            routed(NEW, lambda _: asyncio.sleep(0))
            settled = plan(NEW, {}).lines
            routed(NEW, _switch)
            there = size(left) / size(wanted)
            found.append(
                {
                    "seed": seed,
                    "after": after / took,
                    "objects": there,
                    "same": state() == wanted,
                    "plans": [*settled, *plan(NEW, {POLICY: Choice("b", "a")}).lines],
                }
            )
            cleanup(NEW)
            assert size(state()) == 0
    return found


def main() -> int:
    seeds = list(range(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
    found = run("tests.lab.crashes:scene", seeds, timeout=60 + 5 * len(seeds))
    wrong = [one for one in found if not one["same"] or one["plans"]]
    for one in found:
        print(f"seed {one['seed']:3}: killed at {one['after']:.2f} of the reload; objects: {one['objects']:.2f}")
    for one in wrong:
        print(f"WRONG: {one}")
    print(f"{len(found)} reloads killed, {len(wrong)} times something was not as planned")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
