"""The configuration file taken up again: for good, or on trial, until somebody confirms it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from steerd.config.file.problem import ConfigError
from steerd.config.file.written import differences, lists_differ
from steerd.config.gateway.load import load, with_catalogue
from steerd.config.settings import Config
from steerd.control.requests import confirm_within
from steerd.control.server import Handler, RefusedError, Request, Response, refused
from steerd.status.snapshot import Trial
from steerd.text.durations import show
from steerd.text.times import span

log = logging.getLogger("steerd")

AT_START: Final = {
    "control_socket": "[control] socket",
    "store_path": "[store] path",
    "record": "[store] record",
    "observe": "[gateway] observe",
}
"""What of a configuration is taken up at the start alone, as the file calls it."""
PAUSE: Final = 1.0
"""Seconds between two reloads by signal: however many come meanwhile, the file is read once for all of them."""


_NOTHING: Final = "the file says the same as before"


class TrialError(Exception):
    """What was asked for does not go with the trial that there is, or is not; the message says which."""


@dataclass(slots=True)
class _Trial:
    """A configuration in force that nobody has confirmed yet."""

    former: Config
    within: float
    ends: float
    timer: asyncio.TimerHandle
    over: bool = False


class Reload:
    """``config`` is the configuration in force; its file is read anew. ``take_up`` swaps it for another and returns
    what is in the way, having changed nothing then. ``began`` hears of every attempt, ``ended`` whether the file is in
    force after it, and then also of a trial that was not confirmed; ``refused`` of what was not done. ``changed``: what
    the last one changed, ``problems``: what kept it from that."""

    def __init__(
        self,
        config: Config,
        *,
        take_up: Callable[[Config], Awaitable[Sequence[str]]],
        began: Callable[[], None],
        ended: Callable[[bool], None],
        refused: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.config = config
        self._take_up = take_up
        self._began = began
        self._ended = ended
        self._refused = refused
        self._spawn = spawn
        self._turn = asyncio.Lock()
        self._trial: _Trial | None = None
        self._undone: tuple[float, Sequence[str]] | None = None
        self._signalled = False
        self._next_at = 0.0
        self.changed: Sequence[str] = ()
        self.problems: Sequence[str] = ()
        self._waiting: Sequence[str] = ()

    async def reload(self, within: float | None = None) -> Sequence[str]:
        """Parse the file whole, then swap. Returns every problem; a bad file changes nothing, and begins no trial.
        With ``within`` what was in force comes back after so many seconds, unless `confirm` comes first.

        TrialError: the last one still waits to be confirmed. To reload over it would leave two to come back to.
        """
        async with self._turn:
            self._signalled = False  # who asked until now meant the file as it is read here
            if self._trial is not None:
                raise TrialError(f"the last reload {self._waits(self._trial)}")
            self._began()
            former = self.config
            problems = await self._read_and_take_up(former, within)
            self.problems, self.changed = problems, ()
            for problem in problems:
                log.error("not reloaded: %s", problem)
            if problems:
                self._refused()
            else:
                self._undone = None
                self.changed = differences(former, self.config)
                log.info("reloaded %s: %s", former.source, "; ".join(self.changed) or _NOTHING)
                for warning in self.config.warnings:
                    log.warning("%s", warning)
                if within is not None:
                    self._begin(former, within)
            self._ended(not problems)
            return problems

    async def take_catalogue(self, document: bytes) -> Sequence[str]:
        """Swap the PoPs of the catalogue for those of another, and nothing else: the file is not read. Returns every
        problem, having changed nothing then."""
        async with self._turn:
            if self._trial is not None:
                return [f"the last reload {self._waits(self._trial)}"]
            former = self.config
            try:
                config = await asyncio.to_thread(with_catalogue, former, document)
            except ConfigError as error:
                return [str(problem) for problem in error.problems]
            if lists_differ(former, config):
                return ["a file of prefixes says something else than when it was taken up: reload first"]
            return await self._swap(config)

    async def on_signal(self) -> None:
        """As `reload`, for who cannot be answered."""
        if self._signalled:
            return
        self._signalled = True
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_at - loop.time())
        self._next_at = loop.time() + PAUSE
        try:
            await self.reload()
        except TrialError as error:
            log.error("not reloaded: %s", error)  # noqa: TRY400 (its text is the whole of it)
            self._refused()

    def confirm(self) -> None:
        """Keep the configuration that is on trial. TrialError: there is none."""
        trial = self._trial
        if trial is None:
            raise TrialError("nothing waits for confirmation" + self._last())
        if trial.over:
            raise TrialError("too late: the configuration before it is being taken up again")
        trial.timer.cancel()
        self._trial = None
        log.info("confirmed: %s stays in force", trial.former.source)

    def trial(self) -> Trial | None:
        """The trial there is, or how the last one ended if it took the configuration back; None: all is settled."""
        now = asyncio.get_running_loop().time()
        if self._trial is not None:
            return Trial("unconfirmed", left=max(0.0, self._trial.ends - now))
        if self._undone is None:
            return None
        at, problems = self._undone
        return Trial("stuck" if problems else "taken-back", ago=now - at, problems=tuple(problems))

    def verbs(self) -> Mapping[str, Handler]:
        return {"reload": self._asked_to_reload, "confirm": self._asked_to_confirm}

    def stop(self) -> None:
        """The daemon ends: nobody is left to take anything back."""
        if self._trial is None:
            return
        self._trial.timer.cancel()
        log.warning(
            "stopped before the last reload was confirmed: the next start takes up %s as it is then",
            self._trial.former.source,
        )
        self._trial = None

    async def _asked_to_reload(self, request: Request) -> Response:
        within = confirm_within(request)
        try:
            problems = await self.reload(within)
        except TrialError as error:
            raise RefusedError(str(error)) from error
        if problems:
            raise refused(problems)
        answer: dict[str, Any] = {"changed": list(self.changed), "at_next_start": list(self._waiting)}
        if self.config.warnings:
            answer["warnings"] = list(self.config.warnings)
        text = [f"reloaded: {_NOTHING}"] if not self.changed else ["reloaded:", *(f"  {one}" for one in self.changed)]
        text += [f"{key} takes effect at the next start" for key in self._waiting]
        if within is not None:
            answer["confirm_within_s"] = within
            text.append(f"in force for {show(within)}, and then taken back, unless `steerctl confirm` comes first")
        return {**answer, "text": "\n".join(text)}

    async def _asked_to_confirm(self, _: Request) -> Response:
        try:
            self.confirm()
        except TrialError as error:
            raise RefusedError(str(error)) from error
        return {"text": "confirmed: the configuration stays in force"}

    async def _read_and_take_up(self, former: Config, within: float | None) -> Sequence[str]:
        try:
            config = await asyncio.to_thread(load, former.source, document=former.document)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        self._waiting = [key for name, key in AT_START.items() if getattr(config, name) != getattr(former, name)]
        for key in self._waiting:
            log.warning("%s takes effect at the next start", key)
        try:
            return await self._swap(config)
        except BaseException:
            # Cut in its middle: whoever asked for a trial did so for a day like this.
            if within is not None:
                self._begin(former, within)
            raise

    async def _swap(self, config: Config) -> Sequence[str]:
        problems = await self._take_up(config)
        if not problems:
            self.config = config
        return problems

    def _begin(self, former: Config, within: float) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(within, self._time_is_up)
        self._trial = _Trial(former, within, loop.time() + within, timer)
        log.warning("on trial: the configuration before it comes back in %s, unless it is confirmed", show(within))

    def _time_is_up(self) -> None:
        if self._trial is not None:
            self._trial.over = True
            self._spawn(self._take_back(self._trial))

    async def _take_back(self, trial: _Trial) -> None:
        async with self._turn:
            self._began()
            try:
                problems = await self._swap(trial.former)
            finally:
                self._trial = None
            self._undone = (asyncio.get_running_loop().time(), problems)
            self.problems, self.changed = [*problems, "the last reload was not confirmed in time"], ()
            source = trial.former.source
            if problems:
                log.error("the reload was not confirmed, but what was in force before cannot be taken up again:")
                for problem in problems:
                    log.error("not taken back: %s", problem)
            else:
                log.warning(
                    "the reload was not confirmed within %s: what was in force before it is again; %s has what was not "
                    "confirmed",
                    show(trial.within),
                    source,
                )
            self._ended(False)

    def _waits(self, trial: _Trial) -> str:
        if trial.over:
            return "is being taken back"
        left = trial.ends - asyncio.get_running_loop().time()
        return f"waits to be confirmed, for {span(max(0.0, left))}: `steerctl confirm`, or wait until it is taken back"

    def _last(self) -> str:
        if self._undone is None:
            return ""
        at, problems = self._undone
        ago = span(asyncio.get_running_loop().time() - at)
        what = "could not be taken back" if problems else "was taken back"
        return f": the last reload was not confirmed in time, and {what} {ago} ago"
