"""Scenarios as data: a network over time, and what must come of it. See the TOML files beside this one.

``[[path]]``: name, optional pop, uplink, bias, ``standby_interval``, ``timeout`` and ``down_after``, then ``weather``
changes (see `steerd.sim.network.Weather`), times in seconds. ``[[policy]]``: name and `PolicySettings`; without any
there is one, "all". ``[[expect]]``: in the time from ``after`` to ``before`` there is exactly one switch (of
``policy``, if more than one), to ``to`` for ``reason`` (or for one of several); ``none = true``: there is no switch
at all, or none for ``reason``. ``[[state]]``: what a policy, or a ``path``, is at a time, and of a path, ``because``:
a part of its reason. Unknown fields are refused.
"""

import tomllib
from copy import deepcopy
from pathlib import Path

import pytest

from steerd.core.events import Order, PathMtu, PopState, Verb
from steerd.core.settings import (
    Objective,
    PanelSettings,
    PathId,
    PathSettings,
    PolicyId,
    PolicySettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather

FOLDER = Path(__file__).parent
POLICY = PolicyId("all")


def scenarios():
    """Every scenario of every file, by name."""
    for file in sorted(FOLDER.glob("*.toml")):
        for name, scenario in tomllib.loads(file.read_text()).items():
            yield pytest.param(scenario, id=f"{file.stem}.{name}")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", list(scenarios()))
def test_scenario(scenario, seed):
    scenario = deepcopy(scenario)
    rate = scenario.pop("rate", 1.0)
    expected = scenario.pop("expect")
    lines, paths = {}, []
    for one in scenario.pop("path"):
        id_ = PathId(one.pop("name"))
        weather = [Weather(**change) for change in one.pop("weather")]
        lines[id_] = Line(*weather)
        pop = one.pop("pop", id_.split("/")[0])
        paths.append(
            PathSettings(
                id_,
                pop,
                one.pop("uplink", id_),
                bias=one.pop("bias", 0.0),
                interval=1 / rate,
                standby_interval=one.pop("standby_interval", 1 / rate),
                timeout=one.pop("timeout", 1.0),
                down_after=one.pop("down_after", 0.0),
            )
        )
        assert not one, f"unknown fields {one}"
    rule = ThresholdSettings(**scenario.pop("threshold")) if "threshold" in scenario else None
    price = scenario.pop("price", 100.0)
    plain = PolicySettings(POLICY, when_none=WhenNone(scenario.pop("when_none", "keep")))
    policies = tuple(policy(one) for one in scenario.pop("policy", [])) or (plain,)
    penalty = scenario.pop("loss_penalty", 200.0)
    settings = Settings(tuple(paths), policies, rule or PanelSettings(price), round=1 / rate, loss_penalty=penalty)
    driver = Driver(settings, lines, seed=seed)
    for event in scenario.pop("event", []):
        at = event.pop("at")
        driver.at(at, happen, driver, event)
    until = scenario.pop("until")
    states = scenario.pop("state", [])
    assert not scenario, f"unknown fields {scenario}"
    seen = []
    for state in states:
        driver.at(state["at"], lambda state=state: seen.append(found(driver, state)))
    driver.run(until)
    told = [f"{one.at:.2f} {one.policy}: {one.old} -> {one.new} {one.reason} {one.rule}" for one in driver.switches()]
    for expect in expected:
        check(driver, expect, told)
    assert seen == states


def policy(written):
    """Settings by name, with ``preferred`` as a table."""
    made = {"objective": Objective(written.pop("objective", "cost"))}
    made["preferred"] = tuple((PathId(path), worth) for path, worth in written.pop("preferred", {}).items())
    return PolicySettings(PolicyId(written.pop("name")), **made, **written)


def happen(driver, event):
    verb = event.pop("do")
    if verb == "restart":
        driver.restart()
    elif verb == "mtu":
        driver.feed(PathMtu(PathId(event["path"]), event["mtu"], event["device_mtu"], event.get("told", False)))
    elif verb == "pop-state":
        driver.feed(PopState(event["pop"], event["accepting"]))
    elif verb in ("drain", "undrain"):
        driver.feed(Order(Verb(verb), event["pop"]))
    else:
        driver.feed(Order(Verb(verb), POLICY, event.get("pop"), hard=event.get("hard", False)))


def found(driver, state):
    """The same, with what is found in place of what is expected."""
    if "path" in state:
        health = driver.engine.paths[PathId(state["path"])].health
        because = state.get("because", "")
        why = {"because": because if because in health.reason else health.reason} if "because" in state else {}
        return {**state, "is": str(health.state), **why}
    return {**state, "is": str(driver.engine.policies[PolicyId(state.get("policy", "all"))].state)}


def check(driver, expect, told):
    within = [
        one
        for one in driver.switches()
        if expect["after"] < one.at <= expect["before"] and expect.get("policy", one.policy) == one.policy
    ]
    if expect.get("none"):
        assert not [one for one in within if expect.get("reason", one.reason) == one.reason], told
        return
    assert len(within) == 1, told
    assert within[0].new == (expect["to"] or None), told
    reasons = expect["reason"]
    assert within[0].reason in ([reasons] if isinstance(reasons, str) else reasons), told
