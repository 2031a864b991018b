"""Reads the WireGuard devices of paths regularly. Reading blocks, so a thread of its own does it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from types import MappingProxyType
from typing import Final, NamedTuple

from steerd.config.probe_settings import TunnelPath, TunnelSettings
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.core.views import TunnelView
from steerd.net.wireguard.device import Device, WireGuardError, allowed
from steerd.net.wireguard.speaker import Speaker
from steerd.tunnel.peers import endpoint, peer_of, remarks
from steerd.tunnel.staleness import Staleness

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 30.0
"""Seconds until the next try when a device does not exist, is no WireGuard one, or does not answer."""
IDLE_SHARE: Final = 20.0
"""The pause after readings, in multiples of the CPU time that they took."""

WAITED: Final = 0.5
"""Seconds of reading from which on others get their turn before the next device is read."""

Found = Device | WireGuardError | None


class Reading(NamedTuple):
    """One reading of a device. ``changed``: its AllowedIPs did, since the reading before; only then ``peers`` has the
    peer of each path, and ``said`` the remarks. ``moved``: they are not as routing left them. ``took``: CPU time, in
    seconds."""

    found: Found
    changed: bool = True
    moved: bool = False
    peers: Mapping[PathId, str | None] = MappingProxyType({})
    said: tuple[str, ...] = ()
    took: float = 0.0


class TunnelWatch:
    """Calls, on the event loop: ``on_tunnel`` when a path's tunnel becomes stale and when it no longer is; ``on_moved``
    as long as the AllowedIPs of a device are not as routing left them; ``on_far_ends`` when the address or mark of
    devices' outer packets changed."""

    def __init__(
        self,
        settings: TunnelSettings,
        *,
        on_tunnel: Callable[[Tunnel], None],
        on_moved: Callable[[str], None] = lambda _: None,
        on_far_ends: Callable[[Mapping[str, tuple[str, int]]], None] = lambda _: None,
        moved: Callable[[Device], bool] = lambda _: False,
        read: Callable[[str], Device | None] | None = None,
    ) -> None:
        """``moved``: whether AllowedIPs are not as routing left them; it is asked by the thread that reads. ``read``
        replaces `Speaker.read`."""
        self._on_tunnel = on_tunnel
        self._on_moved = on_moved
        self._on_far_ends = on_far_ends
        self._moved = moved
        self._speaker = Speaker()
        self._device = read or self._speaker.read
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="steerd-tunnel")
        self._sooner = asyncio.Event()
        self._remarks: dict[str, tuple[str, ...]] = {}
        self._far_ends: dict[str, tuple[str, int]] = {}
        self._states: dict[PathId, Staleness] = {}
        self._told: dict[PathId, bool | None] = {}
        self._views: dict[PathId, TunnelView] = {}
        self.configure(settings)

    def configure(self, settings: TunnelSettings) -> None:
        """Take new settings. Stale tunnels are told again: the engine may have begun anew with a path."""
        self._settings = settings
        self._paths: dict[str, list[TunnelPath]] = {}
        for path in settings.paths if settings.interval > 0.0 else ():
            self._paths.setdefault(path.device, []).append(path)
        self._due: dict[str, float] = dict.fromkeys(self._paths, -inf)
        kept = {path.path for paths in self._paths.values() for path in paths}
        self._states = {path: state for path, state in self._states.items() if path in kept}
        self._views = {path: view for path, view in self._views.items() if path in kept}
        self._known: dict[str, Device] = {}
        self._peers: dict[PathId, str | None] = {}
        self._remarks = {name: said for name, said in self._remarks.items() if name in self._paths}
        self._far_ends = {name: far_end for name, far_end in self._far_ends.items() if name in self._paths}
        self._told = {path: None for path, told in self._told.items() if told is not False and path in kept}
        self._sooner.set()

    def close(self) -> None:
        """Close for good, without waiting for the thread, which a device that does not answer may delay."""
        self._worker.submit(self._speaker.close)
        self._worker.shutdown(wait=False)

    def look(self, path: PathId) -> None:
        """The path's device appeared or changed: read it soon."""
        for device, paths in self._paths.items():
            if any(one.path == path for one in paths):
                self._due[device] = -inf
                self._sooner.set()

    def view(self, path: PathId) -> TunnelView | None:
        """The path's tunnel as last read; None: it is no WireGuard one."""
        return self._views.get(path)

    def known(self, name: str) -> Device | None:
        """The device as last read; None: the last reading failed."""
        return self._known.get(name)

    def due(self, name: str) -> float:
        """When the device is read next, in seconds, monotonic; infinity: never."""
        return self._due.get(name, inf)

    def remarks(self) -> tuple[str, ...]:
        """Which settings of devices send probes to the wrong peer, one line each."""
        return tuple(one for device in sorted(self._remarks) for one in self._remarks[device])

    async def run(self) -> None:
        """Read, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(self._due.values(), default=inf) - time.monotonic())):
                    await self._sooner.wait()
            self._sooner.clear()
            now, worked = time.monotonic(), 0.0
            # Whoever waits longest first: the last ones of many would never have their turn.
            paths, due = self._paths, sorted((one for one in self._due if self._due[one] <= now), key=self.due)
            # What answered last time first: what did not may be waited for.
            for some in ([one for one in due if one in self._known], [one for one in due if one not in self._known]):
                for device, reading in await loop.run_in_executor(self._worker, self._read_all, some, paths):
                    worked += reading.took
                    if paths is self._paths:  # else it was read for former settings
                        self.take(device, reading)
            await asyncio.sleep(worked * IDLE_SHARE)

    def _read_all(self, due: Sequence[str], paths: Mapping[str, Sequence[TunnelPath]]) -> list[tuple[str, Reading]]:
        """Together: to hand each of hundreds to the thread costs more than to see that it is no WireGuard device. What
        is not read any more since others took long stays due."""
        found: list[tuple[str, Reading]] = []
        end = time.monotonic() + WAITED
        for name in due:
            if paths is not self._paths or time.monotonic() > end:  # other settings by now, or others' turn
                break
            found.append((name, self._read(name, paths[name], self.known(name))))
        return found

    def _read(self, name: str, paths: Sequence[TunnelPath], before: Device | None) -> Reading:
        """On the worker's thread: many prefixes take time."""
        began = time.thread_time()
        found: Found
        try:
            found = self._device(name)
        except OSError as error:
            found = error if isinstance(error, WireGuardError) else WireGuardError.of(name, error)
        except Exception as error:  # noqa: BLE001 (whatever it says, the other devices are still read)
            found = WireGuardError(0, f"{name}: it cannot be understood: {error}")
        reading = reckoned(paths, found, before)
        if isinstance(found, Device):
            # Not by the reading before: between two alike may lie a move of routing's and somebody's that undoes it.
            reading = reading._replace(moved=self._moved(found))
        return reading._replace(took=time.thread_time() - began)

    def take(self, name: str, reading: Reading) -> None:
        """What was read of a device: tell what is new, and plan the next reading."""
        now, paths, found = time.monotonic(), self._paths[name], reading.found
        if not isinstance(found, Device):
            # What could be read until now is asked again at once: it may have been late for once.
            self._due[name] = now + (self._settings.interval if name in self._known else LOOK_AGAIN)
            self._remark(name, reading.said)
            self._known.pop(name, None)
            for path in paths:
                self._forget(path.path)
        else:
            self._due[name] = now + self._settings.interval
            self._known[name] = found
            if reading.changed:
                self._remark(name, reading.said)
                self._peers.update(reading.peers)
            for path in paths:
                self._judge(path, found, now)
            if reading.moved:
                self._on_moved(name)
        self._follow(name, found)

    def _judge(self, path: TunnelPath, device: Device, now: float) -> None:
        peer = device.peers.get(self._peers.get(path.path) or "")
        if peer is None:
            self._forget(path.path)
            return
        state = self._states.setdefault(path.path, Staleness())
        state.take(peer, now, time.time())
        why = state.why(now)
        self._views[path.path] = TunnelView(peer.key, state.age(now), peer.rx, peer.tx, why or None)
        self._tell(path.path, why)

    def _forget(self, path: PathId) -> None:
        self._states.pop(path, None)
        self._views.pop(path, None)
        self._tell(path, "")

    def _tell(self, path: PathId, why: str) -> None:
        if self._told.get(path, False) is not bool(why):
            self._told[path] = bool(why)
            self._on_tunnel(Tunnel(path, why))

    def _follow(self, name: str, found: Found) -> None:
        before = dict(self._far_ends)
        self._far_ends.pop(name, None)
        if isinstance(found, Device):
            self._far_ends[name] = endpoint(found), found.mark
        if self._far_ends != before:
            self._on_far_ends(dict(self._far_ends))

    def _remark(self, name: str, said: tuple[str, ...]) -> None:
        for one in said:
            if one not in self._remarks.get(name, ()):
                log.warning("%s", one)
        self._remarks[name] = said


def reckoned(paths: Sequence[TunnelPath], found: Found, before: Device | None) -> Reading:
    """The reading that ``found`` makes, compared with the device as it was last read."""
    if isinstance(found, WireGuardError):
        return Reading(found, said=(f"WireGuard of {found.strerror or found}",))
    if found is None:
        return Reading(found, changed=False)
    if before is not None and allowed(before) == allowed(found):
        return Reading(found, changed=False)
    peers = {path.path: peer.key if (peer := peer_of(path, found)) else None for path in paths}
    return Reading(found, peers=peers, said=tuple(remarks(paths, found)))
