"""What a reload would do to the kernel, for `steerctl plan`: the operations, and what they leave open."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.config.route_settings import RouteSettings
from steerd.config.settings import Config
from steerd.control.server import Handler, RefusedError, Request, Response, refused
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PolicyState
from steerd.core.views import PolicyView, View
from steerd.daemon.driver import Driver
from steerd.route.error import RouteError
from steerd.route.once import plan as operations
from steerd.route.wanted.adopt import names
from steerd.route.wanted.choice import Choice

LINES_MAX: Final = 20_000
"""More than anybody reads; a policy may have ten times as many prefixes, and the answer is one line of JSON."""

Choices = dict[PolicyId, Choice]


class Planning:
    """With the configuration in force and the choices of now."""

    def __init__(self, driver: Driver, config: Callable[[], Config]) -> None:
        self._driver = driver
        self._config = config

    def verbs(self) -> Mapping[str, Handler]:
        return {"plan": self._plan}

    async def _plan(self, _: Request) -> Response:
        running, view = self._config(), self._driver.view()
        try:
            given = await asyncio.to_thread(load, running.source, document=running.document)
            planned = await asyncio.to_thread(operations, given.route, choices(running.route, given.route, view))
        except ConfigError as error:
            raise refused([str(problem) for problem in error.problems]) from error
        except RouteError as error:
            raise refused([str(error)]) from error
        except OSError as error:
            raise RefusedError(f"the kernel's routes cannot be read: {error}") from error
        lines = planned.lines
        return {
            "summary": planned.words,
            "lines": lines[:LINES_MAX],
            "total": len(lines),
            "notes": list(notes(running, given, view)),
        }


def choices(running: RouteSettings, given: RouteSettings, view: View) -> Choices:
    """What a reload would carry over. A policy is left out that has no choice yet, or one that the new settings do
    not name: its traffic stays where the kernel has it until the switch that follows."""
    former = {path.path: path for path in running.paths}
    known = {path.path for path in given.paths}
    remaining = {policy.policy for policy in given.policies}
    found: Choices = {}
    for policy in view.policies:
        had = Choice(policy.choice, policy.runner_up, policy.shares)
        choice = had.renamed(lambda path: names(given, former, path))
        if policy.policy not in remaining or (choice.best is not None and choice.best not in known):
            continue
        if choice.best is not None or policy.state is PolicyState.BLOCKED:
            found[policy.policy] = choice.among(known)
    return found


def notes(running: Config, given: Config, view: View) -> Iterator[str]:
    """What the operations alone do not say: what comes after them."""
    current = {policy.policy: policy for policy in view.policies}
    for settings in given.core.policies:
        policy = current.get(settings.policy)
        if policy is None or policy.state is PolicyState.NONE:
            yield f"policy {settings.policy}: its rules and routes come with its first choice"
        elif left := _why_left(policy, running, given, dict(settings.forbidden)):
            yield f"policy {settings.policy}: {left}: a switch follows"
    if _ranges(running.route) != _ranges(given.route):
        yield "[route] numbers change: what lies within the former ones is removed after that"


def _why_left(policy: PolicyView, running: Config, given: Config, forbidden: dict[PathId, str]) -> str | None:
    if policy.choice is None:
        return None
    path = names(given.route, {path.path: path for path in running.route.paths}, policy.choice)
    if all(one.path != path for one in given.route.paths):
        return f"the file does not name its path {path}"
    return f"the file rules out its path {path}: {forbidden[path]}" if path in forbidden else None


def _ranges(settings: RouteSettings) -> tuple[int, ...]:
    return (
        settings.table,
        settings.rule_priority,
        settings.nexthop_base,
        settings.protocol,
        settings.mark_mask,
    )
