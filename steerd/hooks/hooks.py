"""Tells notices to programs and URLs, each in a thread of its own: steering waits for none of them."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from steerd.config.hook import HookSettings
from steerd.faults import Boundary
from steerd.hooks.command import run
from steerd.hooks.notice import HookError, Notice
from steerd.hooks.post import post
from steerd.net.privileges import drop
from steerd.text.seldom import Seldom, more

log = logging.getLogger(__name__)

WAITING: Final = 1000
"""Notices that wait for one hook; what comes beyond is dropped, counted and said."""
_PAUSE: Final = 1.0
"""Seconds before the first of the further tries; each later one waits twice as long."""
_PAUSE_MAX: Final = 30.0
_ENDING: Final = 1.0
NOBODY: Final = "nobody"
RESULTS: Final = ("done", "failed", "dropped")

Counted = Callable[[str, str], None]
"""Told the hook's name and one of `RESULTS`, in any thread."""


class Hook:
    """One of them, with its queue and its thread, which has no capability: nor does what it starts, as long as we are
    not root. Root's are run as another user."""

    def __init__(self, settings: HookSettings, counted: Counted) -> None:
        self.settings = settings
        self._counted = partial(counted, settings.name)
        self._waiting: queue.Queue[Notice] = queue.Queue(WAITING)
        self._ended = threading.Event()
        self._seldom = Seldom(60.0)
        self._boundary = Boundary("hooks")
        self._thread = threading.Thread(target=self._work, name=f"steerd-hook-{settings.name}"[:15], daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Never waits."""
        if notice.topic not in self.settings.on:
            return
        try:
            self._waiting.put_nowait(notice)
        except queue.Full:
            self._counted("dropped")
            self._say("dropped a notice", f"{WAITING} wait")

    def cease(self) -> None:
        """Tell nothing more, but for what is being told. Returns at once."""
        self._ended.set()

    def end(self, deadline: float) -> None:
        """After `cease`. What waits is dropped, and said; what is being told ends by itself. Blocks until then, or the
        deadline."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if left := self._waiting.qsize():
            for _ in range(left):
                self._counted("dropped")
            log.warning("hook %s dropped %d notices that waited at its end", self.settings.name, left)

    def _work(self) -> None:
        root = os.geteuid() == 0
        if not root:
            try:
                drop()
            except OSError as error:
                self._say("is not run: its thread cannot give up its rights", error.strerror)
                return
        user = self.settings.user or (NOBODY if root else "")
        while not self._ended.is_set():
            try:
                notice = self._waiting.get(timeout=0.5)
            except queue.Empty:
                continue
            done = False
            with self._boundary:  # whatever it is, the thread goes on with the next
                done = self._told(notice, user)
            self._counted("done" if done else "failed")

    def _told(self, notice: Notice, user: str) -> bool:
        pause, body = _PAUSE, notice.body()
        for left in range(self.settings.retries, -1, -1):
            try:
                self._send(body, user)
            except HookError as error:
                after = "it is tried again" if left else "it is given up"
                self._say(f"was not told of {notice.topic.value}, {after}", str(error))
            except Exception as error:  # noqa: BLE001 (it is tried again, too)
                self._boundary.tell(error, f"hook {self.settings.name} failed in steerd itself")
            else:
                return True
            if left and self._ended.wait(pause):
                return False
            pause = min(2.0 * pause, _PAUSE_MAX)
        return False

    def _send(self, body: bytes, user: str) -> None:
        own = self.settings
        if own.run:
            run(own.run, body, user=user, timeout=own.timeout)
        else:
            post(own.url, body, key_file=own.key_file, timeout=own.timeout)

    def _say(self, what: str, why: object) -> None:
        if (unsaid := self._seldom.said(what)) is not None:
            log.warning("hook %s %s: %s%s", self.settings.name, what, why, more(unsaid))


class Hooks:
    """All of them. ``wanted``: whether there are any."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._hooks: list[Hook] = []

    @property
    def wanted(self) -> bool:
        return bool(self._hooks)

    def configure(self, settings: Sequence[HookSettings]) -> None:
        """Those that stay as they are keep what waits for them."""
        kept = [hook for hook in self._hooks if hook.settings in settings]
        gone = [hook for hook in self._hooks if hook not in kept]
        known = [hook.settings for hook in kept]
        # At once: what happens while the others end is told to those that take their place.
        self._hooks = [*kept, *(Hook(one, self._counted) for one in settings if one not in known)]
        _end(gone)

    def tell(self, notice: Notice) -> None:
        """Never waits, and never fails."""
        for hook in self._hooks:
            hook.tell(notice)

    def stop(self) -> None:
        """Blocks, for a second at most. Safe to repeat."""
        gone, self._hooks = self._hooks, []
        _end(gone)


def _end(hooks: Sequence[Hook]) -> None:
    for hook in hooks:
        hook.cease()
    deadline = time.monotonic() + _ENDING
    for hook in hooks:
        hook.end(deadline)
