"""Steers within WireGuard devices: moves policies' prefixes from peer to peer. Synchronous: for one thread."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from steerd.config.route_settings import Actuator, RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import AllowedIp, Device, WireGuardError, allowed, grants
from steerd.net.wireguard.speaker import Speaker
from steerd.route.wanted.adopt import Adopted, adopt_peers
from steerd.route.wanted.allowed_ips import Held, Moves, Prefixes, held, missing, ours, removable, wanted
from steerd.route.wanted.choice import Choice

log = logging.getLogger(__name__)


class Peers(ExitStack):
    """From the last reading: ``devices`` by name, and ``held``, None where the settings ask for none of this. ``own``
    are each policy's prefixes; ``errors``, by device, say what could not be done in the last attempt."""

    def __init__(self, settings: RouteSettings) -> None:
        super().__init__()
        self.errors: dict[str, str] = {}
        self.devices: Mapping[str, Device] = {}
        self._speaker = self.enter_context(Speaker())
        self.configure(settings)

    def configure(self, settings: RouteSettings) -> None:
        """For these settings from now on; nothing is changed yet."""
        active = settings.actuator is Actuator.WIREGUARD
        self.own: Prefixes = ours(settings) if active else {}
        self._every = frozenset(one for mine in self.own.values() for one in mine)
        self._names = sorted({path.device for path in settings.paths}) if active else []
        self.held: Held | None = {} if active else None

    def read(self) -> None:
        """Reads the devices. One that cannot be read counts as it was."""
        if self.held is None:
            return
        self.errors = {}
        found: dict[str, Device] = {}
        for name in self._names:
            try:
                device = self._speaker.read(name)
            except WireGuardError as error:
                self._fail(name, error)
                device = self.devices.get(name)
            if device is not None:
                found[name] = device
        self.devices = found
        self.held = held(self.own, found)

    def adopt(self, settings: RouteSettings, found: Adopted) -> Adopted:
        """Reads the devices; what was ``found`` in place, by peer where that applies."""
        self.read()
        return found if self.held is None else adopt_peers(settings, found, self.held)

    def hold(self, choices: Mapping[PolicyId, Choice], paths: Mapping[PathId, RoutePath]) -> int:
        """Reads, and gives each chosen peer its policy's prefixes, in one step for each. Returns how many moved."""
        self.read()
        moved = 0
        for device, moves in self.due(choices, paths):
            try:
                self._speaker.grant(device, grants(moves))
                moved += len(moves)
            except WireGuardError as error:
                self._fail(device, error)
        if moved or self.errors:
            failed = self.errors
            self.read()
            self.errors = {**self.errors, **failed}
        return moved

    def due(self, choices: Mapping[PolicyId, Choice], paths: Mapping[PathId, RoutePath]) -> Sequence[Moves]:
        """What has to move, on what was read last."""
        want = wanted(self.own, choices, paths)
        found = (missing(self.devices[name], want[name]) for name in sorted(want) if name in self.devices)
        return [one for one in found if one.moves]

    def moved(self, device: Device) -> bool:
        """Whether peers came or went, or our prefixes are another peer's, since the last reading or move here. What is
        others' does not count: it may change each second. For any thread."""
        if self.held is None or device.name not in self._names:
            return False
        left = self.devices.get(device.name, Device(device.name))
        before, now = allowed(left), allowed(device)
        return before != now and self._of_ours(before) != self._of_ours(now)

    def _of_ours(self, found: Mapping[str, frozenset[AllowedIp]]) -> Mapping[str, frozenset[AllowedIp]]:
        return {peer: some & self._every for peer, some in found.items()}

    def why_not(self, path: RoutePath) -> str:
        """Why the path's peer lacks what it should have, in words; empty: unknown."""
        device = self.devices.get(path.device)
        if path.device in self.errors:
            return self.errors[path.device]
        if device is None:
            return f"{path.device} is no WireGuard device"
        return "" if path.peer in device.peers else f"{path.device} has no peer {path.peer}"

    def remove(self, settings: RouteSettings, *, but: Prefixes | None = None) -> int:
        """Takes policies' prefixes from their peers, but not the ``but`` ones; how many. Raises `WireGuardError`."""
        names = {path.device for path in settings.paths if path.peer}
        if not names:
            return 0
        kept = {one for mine in (but or {}).values() for one in mine}
        own = {policy: tuple(one for one in mine if one not in kept) for policy, mine in ours(settings).items()}
        read = {name: self._speaker.read(name) for name in sorted(names)}
        found = removable(own, settings.paths, {name: one for name, one in read.items() if one is not None})
        for name, some in found.items():
            self._speaker.drop(name, some)
        return sum(map(len, found.values()))

    def _fail(self, name: str, error: WireGuardError) -> None:
        words = f"WireGuard of {name}: {error.strerror or error}"
        if self.errors.get(name) != words:
            log.warning("%s", words)
        self.errors[name] = words
