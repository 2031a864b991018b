"""The reflector within an agent: on the agent's own event loop, and under another configuration without a gap."""

import asyncio
from collections.abc import Callable, Mapping
from ipaddress import ip_network

from steerd.config.agent.settings import ReflectSettings
from steerd.config.stamp_key import read_key
from steerd.faults import Boundary, Reader
from steerd.reflect.listener import Listener
from steerd.reflect.reflector import Reflector
from steerd.reflect.told import LOOK, Told

Place = tuple[str, int]


class Prepared:
    """Sockets, those kept too, and who answers there. ``reflector`` is None where nobody does."""

    def __init__(self, settings: ReflectSettings | None, kept: Mapping[Place, Listener]) -> None:
        """KeyFileError, ListenError: it cannot be; then nothing new stays open."""
        self.settings = settings
        self.listeners: dict[Place, Listener] = {}
        self.reflector: Reflector | None = None
        self._kept = kept
        if settings is None:
            return
        key = read_key(settings.key_file) if settings.key_file else None
        try:
            for place in settings.listen:
                self.listeners[place] = kept.get(place) or Listener(*place)
        except Exception:
            self.abort()
            raise
        ports = [listener.port for listener in self.listeners.values()]
        allowed = [ip_network(text) for text in settings.allow]
        self.reflector = Reflector(key=key, allowed=allowed, rate=settings.rate, ports=ports)

    def abort(self) -> None:
        """Close what was opened for it."""
        for place, listener in self.listeners.items():
            if place not in self._kept:
                listener.close()


class Reflecting:
    """Answers from `take` to `close`."""

    def __init__(self) -> None:
        self._settings: ReflectSettings | None = None
        self._listeners: Mapping[Place, Listener] = {}
        self._readers: list[Reader] = []
        self._told: Told | None = None
        self.reflector: Reflector | None = None

    def prepare(self, settings: ReflectSettings | None) -> Prepared | None:
        """Open what these settings need; None: they are those in force. KeyFileError, ListenError: it cannot be."""
        if settings == self._settings:
            return None
        return Prepared(settings, self._listeners)

    def take(self, made: Prepared | None) -> None:
        """Answer so from now on. Sessions begin anew, as after a start."""
        if made is None:
            return
        for reader in self._readers:
            reader.close()
        for place, listener in self._listeners.items():
            if place not in made.listeners:
                listener.close()
        self._settings, self._listeners, self.reflector = made.settings, made.listeners, made.reflector
        self._told = None if made.reflector is None else Told(made.reflector, "reflect.rate")
        self._readers = []
        if (reflector := made.reflector) is not None:
            loop, boundary = asyncio.get_running_loop(), Boundary("packets")
            for listener in made.listeners.values():
                answer = _answering(listener, reflector)
                self._readers.append(Reader(boundary, loop, listener.fileno(), answer))

    def close(self) -> None:
        """Answer nobody any more. Safe to repeat."""
        for reader in self._readers:
            reader.close()
        for listener in self._listeners.values():
            listener.close()
        if self._told is not None:
            self._told.end()
        self._readers, self._listeners, self._told = [], {}, None

    async def tell(self) -> None:
        """Log what is to be known of it, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            if self._told is not None:
                self._told.look()


def _answering(listener: Listener, reflector: Reflector) -> Callable[[], None]:
    return lambda: listener.serve(reflector)
