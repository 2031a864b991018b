"""All carriers in use: one for each method and family."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from steerd.config.probe_settings import ProbePath, ProbeSettings
from steerd.net.devices import Devices
from steerd.probe.carrier import Carrier, Find, Leg
from steerd.probe.error import NoFamilyError, ProbeError
from steerd.probe.methods.dns import DnsCarrier
from steerd.probe.methods.http import HttpCarrier
from steerd.probe.methods.icmp import EchoCarrier, Wired
from steerd.probe.methods.no_family import NoFamilyCarrier
from steerd.probe.methods.tcp import TcpCarrier
from steerd.probe.methods.udp import UdpCarrier
from steerd.probe.outcomes.poll import Poll

ICMP = "icmp"


class Carriers:
    """Opens carriers as they are needed, and keeps them until all are closed."""

    def __init__(self, find: Find, devices: Devices, wired: Wired | None) -> None:
        self._makers: dict[str, Callable[[int], Carrier]] = {
            ICMP: lambda family: EchoCarrier(family, find, devices, wired),
            "tcp": lambda family: TcpCarrier(family, find),
            "http": lambda family: HttpCarrier(family, find),
            "dns": lambda family: DnsCarrier(family, find),
            "udp": lambda family: UdpCarrier(family, find, devices),
        }
        self._carriers: dict[tuple[str, int], Carrier] = {}

    def __iter__(self) -> Iterator[Carrier]:
        return iter(tuple(self._carriers.values()))

    def open(self, settings: ProbeSettings, opened: ExitStack) -> None:
        """Open what these paths need; ``opened`` closes what was not open before. Raises `ProbeError`."""
        for path in settings.paths:
            if path.method not in self._makers:
                known = ", ".join(self._makers)
                raise ProbeError(f"path {path.path}: probing by {path.method} is not available; method can be {known}")
            for target in path.targets:
                # By ICMP, too: any target may have to be tested whether it answers at all.
                for method in (path.method, ICMP):
                    if (method, target.family) not in self._carriers:
                        self._carriers[method, target.family] = self._made(method, target.family)
                        opened.callback(self._shut, (method, target.family))

    def _made(self, method: str, family: int) -> Carrier:
        try:
            return self._makers[method](family)
        except NoFamilyError:
            return NoFamilyCarrier()

    def _shut(self, key: tuple[str, int]) -> None:
        if key in self._carriers:
            self._carriers.pop(key).close()

    def legs(self, path: ProbePath) -> list[Leg]:
        """New legs, one for each target, of carriers that are open. Raises `ProbeError`."""
        legs = [
            self._carriers[path.method, target.family].leg(path, index) for index, target in enumerate(path.targets)
        ]
        for family in path.legs:
            some = [leg for leg in legs if leg.family == family]
            poll = Poll(len(some), path.quorum) if len(some) > 1 else None
            for place, leg in enumerate(some):
                leg.poll, leg.place = poll, place
        return legs

    def check(self, leg: Leg) -> Leg:
        """A leg that probes the target of another by ICMP."""
        check = self._carriers[ICMP, leg.family].leg(leg.settings, leg.index)
        check.checks = leg
        if leg.address:
            check.aim(leg.address)
        return check

    def close(self) -> None:
        for key in tuple(self._carriers):
            self._shut(key)
