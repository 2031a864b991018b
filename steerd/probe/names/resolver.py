"""Targets that are host names, kept resolved outside the event loop.

The C library's resolver blocks for any time and cannot be cancelled. So it has threads of its own: a loop that stops
waits for those of asyncio's executor.
"""

import asyncio
import contextlib
import math
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from steerd.probe.names.resolution import FAMILIES, SILENCE, Note, Resolution, next_to_ask, words

Key = tuple[str, int]
"""A host name and the family, 4 or 6, in which it is resolved."""

_THREADS = 4
_FOR_SLOW = 2  # of them at most for names that took long before
_SOONEST = 0.01  # seconds between two looks


class _Answer(NamedTuple):
    addresses: list[str]
    error: OSError | None


class Names:
    """Tells the address of each name that is watched, and what becomes of it.

    ``on_address(name, family, address)``: probe this address from now on. ``on_note(name, family, text, failing)``:
    log this; ``failing`` while the name cannot be resolved, once per reason. Both are called from the event loop only,
    never from within `watch`.
    """

    def __init__(
        self,
        on_address: Callable[[str, int, str], None],
        on_note: Callable[[str, int, str, bool], None],
        known: Mapping[Key, str] | None = None,
    ) -> None:
        """``known``: what `known` returned in an earlier run, used for names until they are resolved."""
        self._on_address = on_address
        self._on_note = on_note
        self._before = dict(known or {})
        self._names: dict[Key, Resolution] = {}
        self._new: set[Key] = set()
        self._asked: dict[Key, float] = {}
        self._questions: queue.SimpleQueue[Key | None] = queue.SimpleQueue()
        self._threads = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, names: AbstractSet[Key]) -> None:
        """Keep these names resolved, and no others. New ones are asked for at once; `known` has the others."""
        for key in self._names.keys() - names:
            del self._names[key]
            self._before.pop(key, None)
            self._new.discard(key)
        for key in names - self._names.keys():
            self._names[key] = Resolution(*key, self._before.get(key))
            self._new.add(key)
        self._look_at(-math.inf)

    def known(self) -> dict[Key, str]:
        """The addresses in use."""
        return {key: one.address for key, one in self._names.items() if one.address is not None}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to ask."""
        self._loop = loop
        self._look_at(-math.inf)

    def stop(self) -> None:
        """Tell nothing more. Returns at once: a thread that waits for the resolver delays nobody."""
        self._loop = None
        if self._timer:
            self._timer.cancel()
        self._timer = None
        for _ in range(self._threads):
            self._questions.put(None)
        self._threads = 0

    def _look_at(self, at: float) -> None:
        if self._loop is None:
            return
        if self._timer:
            self._timer.cancel()
        at = max(at, self._loop.time() + _SOONEST)
        self._timer = self._loop.call_at(at, self._look) if at < math.inf else None

    def _look(self) -> None:
        if self._loop is None:
            return
        now = self._loop.time()
        self._look_at(now + SILENCE)  # at the latest, whatever fails below
        for key in sorted(self._new):
            self._tell(key, None, self._names[key].begin())
        self._new.clear()
        for key, since in self._asked.items():
            if one := self._names.get(key):
                self._tell(key, one.address, one.silent(now - since))
        self._ask(now)
        idle = (one.next_at for key, one in self._names.items() if key not in self._asked and one.next_at > now)
        silent = (since + SILENCE for since in self._asked.values() if since + SILENCE > now)
        self._look_at(min((*idle, *silent), default=math.inf))

    def _ask(self, now: float) -> None:
        keys = {one: key for key, one in self._names.items() if key not in self._asked and one.next_at <= now}
        held = sum(1 for key in self._asked if key not in self._names or self._names[key].slow)
        for one in next_to_ask(keys, _THREADS - len(self._asked), _FOR_SLOW - held):
            self._asked[keys[one]] = now
            try:
                if self._threads < len(self._asked):
                    arguments = (self._questions, self._take)
                    threading.Thread(target=_resolve, args=arguments, name="names", daemon=True).start()
                    self._threads += 1
            except RuntimeError:
                del self._asked[keys[one]]
                self._tell(keys[one], one.address, one.failed("this machine cannot start a thread to ask", 0.0, now))
            else:
                self._questions.put(keys[one])

    def _take(self, key: Key, answer: _Answer) -> None:
        """From a thread: an answer for the loop, if it still runs."""
        if (loop := self._loop) is not None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(self._answered, key, answer)

    def _answered(self, key: Key, answer: _Answer) -> None:
        if self._loop is None:
            return
        now = self._loop.time()
        took = now - self._asked.pop(key)
        # A name that was forgotten and watched anew meanwhile still asks the same question.
        if one := self._names.get(key):
            before = one.address
            if answer.error:
                note = one.failed(words(answer.error, key[1]), took, now)
            else:
                note = one.answered(answer.addresses, took, now)
            self._tell(key, before, note)
        self._look_at(-math.inf)

    def _tell(self, key: Key, before: str | None, note: Note | None) -> None:
        address = self._names[key].address
        if note:
            self._on_note(*key, *note)
        if address is not None and address != before:
            self._on_address(*key, address)


def _resolve(questions: "queue.SimpleQueue[Key | None]", take: Callable[[Key, _Answer], None]) -> None:
    """A thread: one question after the other, until there is None."""
    while (key := questions.get()) is not None:
        name, family = key
        try:
            # In bytes: text would first pass through a codec for names that are not ASCII.
            found = socket.getaddrinfo(name.encode(), None, FAMILIES[family], socket.SOCK_DGRAM)
            answer = _Answer([str(address[0]) for *_, address in found], None)
        except Exception as error:  # noqa: BLE001 (a thread that died would leave its questions without an answer)
            answer = _Answer([], error if isinstance(error, OSError) else OSError(str(error)))
        take(key, answer)
