"""Asks the kernel where it sends a policy's packets: all may be as wanted, and another's rule come before it."""

import errno
from collections.abc import Mapping, Sequence
from typing import Final

from steerd.config.route_settings import RouteSettings
from steerd.core.settings import PolicyId
from steerd.net.netlink import NetlinkError
from steerd.route.kernel.forwarding import stopped
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import MAIN, Device
from steerd.route.wanted.samples import Sample, samples
from steerd.route.wanted.selection import Selection

_NOWHERE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH}


class Verifier:
    """One for a kernel and its thread. ``samples`` are those found last, by policy and family."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.samples: Mapping[tuple[PolicyId, int], Sequence[Sample]] = {}
        self._inputs: tuple[object, ...] = ()

    def prepare(
        self, settings: RouteSettings, selections: tuple[Selection, ...], devices: Mapping[str, Device]
    ) -> None:
        """Finds samples of each policy's traffic, if anything has changed that they depend on."""
        addresses = self._kernel.addresses()
        inputs = (settings, selections, dict(devices), addresses)
        if inputs != self._inputs:
            self.samples = samples(settings, selections, self._kernel.families, devices, addresses)
            self._inputs = inputs

    def mismatch(self, policy: PolicyId, expected: Mapping[int, frozenset[str]]) -> str | None:
        """What the kernel does instead, in words; None: what is expected, or no sample can tell. ``expected`` has, by
        family, the devices that the policy's packets are to leave by; empty: none."""
        for family, devices in expected.items():
            for sample in self.samples.get((policy, family), ()):
                asked, words = self._ask(sample, devices)
                if words:
                    return words
                if asked:
                    break
        return None

    def _ask(self, sample: Sample, devices: frozenset[str]) -> tuple[bool, str | None]:
        """Whether this sample tells anything, and what is wrong."""
        device = " or ".join(sorted(devices))
        try:
            way = self._kernel.way(sample)
        except NetlinkError as error:
            if error.errno not in _NOWHERE or (device and sample.iif and stopped(sample.family, sample.iif)):
                return False, None  # a packet that the kernel would not take in says nothing of the ways out
            return True, f"the kernel turns {sample} away, not out by {device}" if device else None
        if way.device in devices or not (way.device or devices):
            return True, None
        if way.table == MAIN and way.main_length:
            return False, None  # main knows a longer prefix: as meant
        instead = f"not by {device}" if device else "though it is to be blocked"
        return True, f"the kernel sends {sample} by {way.device or 'no device'}, table {way.table}, {instead}"
