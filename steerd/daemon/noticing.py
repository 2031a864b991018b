"""What hooks are told: the engine's facts, and what a look at it finds begun or over."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from steerd.config.change import StageChange, Swap
from steerd.config.hook import HookSettings
from steerd.config.settings import Config
from steerd.core.effects import PathChanged, Switched
from steerd.core.events import Installed, Order, PopState
from steerd.core.states import PolicyState
from steerd.core.views import DrainView, PolicyView, View
from steerd.daemon import journal
from steerd.daemon.driver import Driver
from steerd.hooks.hooks import Hooks
from steerd.hooks.notice import Notice, Topic
from steerd.status.notes import CHATTER, OUT
from steerd.text.times import span, utc

EVERY: Final = 5.0
"""Seconds between two looks when nothing happens: drains end by themselves."""
_SOON: Final = 0.05  # so long changes are gathered before a look at them


class Noticing:
    """Without hooks it does not even look. ``count`` is told what became of each notice, in any thread."""

    def __init__(
        self, config: Config, driver: Driver, count: Callable[[str, str], None], *, observing: bool = False
    ) -> None:
        self._gateway = config.gateway
        self._settings = config.hooks
        self._driver = driver
        self._observing = observing
        self._paper = {"paper": True} if observing else {}
        self._on_paper = "on paper, as steerd only observes: " if observing else ""
        self._hooks = Hooks(count)
        self._pending: asyncio.TimerHandle | None = None
        self._out: dict[str, tuple[PolicyState, float]] = {}
        self._errors: dict[str, str] = {}
        self._drains: dict[str, DrainView] = {}
        driver.facts.listen(Switched, self._switched)
        driver.facts.listen(PathChanged, self._path_changed)
        driver.events.listen(Installed | Order | PopState, lambda _: self._soon())

    def start(self) -> None:
        """Begin to tell: what is so already is no news, but that a policy cannot be carried is."""
        self._hooks.configure(self._settings)
        self._forget()

    async def run(self) -> None:
        """Look every so often, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            self._look()

    async def prepare(self, config: Config) -> StageChange:
        """Any hooks will do: what they need is needed when they are told something."""
        return Swap(self._configure, (self._gateway, self._settings), (config.gateway, config.hooks))

    async def stop(self) -> None:
        """Nobody is told any more. Safe to repeat."""
        if self._pending is not None:
            self._pending.cancel()
        await asyncio.to_thread(self._hooks.stop)

    def reloaded(self, problems: Sequence[str], changed: Sequence[str]) -> None:
        """The configuration was read again: what is wrong with it, or what it changed."""
        ok = not problems
        said = ("; ".join(changed) or "nothing changed") if ok else f"refused: {'; '.join(problems)}"
        self._tell(Topic.RELOAD, f"reload: {said}", ok=ok, changed=list(changed), problems=list(problems))

    async def _configure(self, given: tuple[str, tuple[HookSettings, ...]]) -> None:
        self._gateway, self._settings = given
        if not self._hooks.wanted:
            self._forget()  # nobody has looked since the start
        await asyncio.to_thread(self._hooks.configure, self._settings)

    def _forget(self) -> None:
        """Of drains, what is so now is no news to whoever is told from now on; outages and errors are."""
        self._drains = {one.pop: one for one in self._driver.view().drains}
        self._out, self._errors = {}, {}

    def _tell(self, topic: Topic, text: str, **details: Any) -> None:
        at = utc(int(time.time() * 1000))
        self._hooks.tell(Notice(topic, self._gateway, at, text, details))

    def _switched(self, fact: Switched) -> None:
        self._tell(
            Topic.SWITCH,
            f"{'would move ' if self._observing else ''}{journal.sentence(fact)}",
            policy=fact.policy,
            **{"from": fact.old, "to": fact.new},
            reason=fact.reason.value,
            event_id=fact.event_id,
            **self._paper,
        )
        self._soon()

    def _path_changed(self, fact: PathChanged) -> None:
        if not {fact.old, fact.new} <= CHATTER:
            text = f"{fact.path} is {fact.new}: {fact.reason}"
            self._tell(
                Topic.PATH, text, path=fact.path, **{"from": fact.old.value, "to": fact.new.value}, why=fact.reason
            )
        self._soon()

    def _soon(self) -> None:
        if self._hooks.wanted and self._pending is None:
            self._pending = asyncio.get_running_loop().call_later(_SOON, self._look)

    def _look(self) -> None:
        self._pending = None
        if not self._hooks.wanted:
            return
        view = self._driver.view()
        for policy in view.policies:
            self._outage(policy, view.now)
            self._astray(policy)
        known = {policy.policy for policy in view.policies}
        self._out = {name: one for name, one in self._out.items() if name in known}
        self._errors = {name: one for name, one in self._errors.items() if name in known}
        self._drained(view)

    def _outage(self, policy: PolicyView, now: float) -> None:
        name, state = policy.policy, policy.state
        before = self._out.get(name)
        if state in OUT and (before is None or before[0] is not state):
            self._out[name] = state, before[1] if before else now
            text = f"{name}: {self._on_paper}{OUT[state]}"
            self._tell(Topic.OUTAGE, text, policy=name, state=state.value, over=False, **self._paper)
        elif before and state is PolicyState.STEERING:
            del self._out[name]
            seconds = now - before[1]
            text = f"{name}: {self._on_paper}carried again, by {policy.choice}, after {span(seconds)}"
            self._tell(
                Topic.OUTAGE,
                text,
                policy=name,
                state=state.value,
                over=True,
                seconds=round(seconds, 3),
                to=policy.choice,
                **self._paper,
            )

    def _astray(self, policy: PolicyView) -> None:
        name, error = policy.policy, policy.error or ""
        if error == self._errors.get(name, ""):
            return
        self._errors[name] = error
        text = f"{name}: {error or 'its packets go where they should again'}"
        self._tell(Topic.ASTRAY, text, policy=name, error=error or None, over=not error)

    def _drained(self, view: View) -> None:
        now = {one.pop: one for one in view.drains}
        for pop in now.keys() - self._drains.keys():
            one = now[pop]
            until = f" for {span(one.left)}" if one.left is not None else ""
            self._tell(
                Topic.DRAIN,
                f"{pop} is drained{until} ({one.origin})",
                pop=pop,
                by=one.origin,
                left_s=one.left,
                over=False,
            )
        for pop in self._drains.keys() - now.keys():
            self._tell(Topic.DRAIN, f"{pop} is no longer drained", pop=pop, by=self._drains[pop].origin, over=True)
        self._drains = now
