"""Why probes go unanswered: this machine refuses them, the target limits its answers, or it refuses the method."""

import math
import socket
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

from steerd.config.family import IPV4
from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.net.devices import Devices
from steerd.net.sockets import address_family
from steerd.probe.carrier import SILENT, Leg
from steerd.probe.findings import Findings
from steerd.probe.methods.carriers import ICMP, Carriers
from steerd.probe.outcomes.limit import Limit
from steerd.probe.trouble.lookup import RouteLookup, words

_ROUTED_FOR: Final = 1.0  # seconds that the kernel's word on a route is believed
_OWN_FOR: Final = 10.0  # seconds: as long what this machine's addresses are
_LOOPBACK: Final = b"\x7f"
_LOOK_EVERY: Final = 16  # losses in a row
_WRONG: Final = {
    Finding.CAPTIVE: "a captive portal that waits for a login, or not the server that was meant",
    Finding.REFUSED: "it does not serve this machine, or has no way to other name servers",
}
_TROUBLE_OVER: Final = 10.0  # seconds without a refusal: what is refused now and then is one trouble


class Diagnosis:
    """Looks closer at legs in trouble; the others cost nothing here. Times in seconds on the loop's clock."""

    def __init__(self, carriers: Carriers, devices: Devices, findings: Findings) -> None:
        self._carriers = carriers
        self._devices = devices
        self._findings = findings
        self._lookup: RouteLookup | None = None
        self._own: frozenset[bytes] = frozenset()
        self._own_at = -math.inf
        self._checks: dict[Leg, Leg] = {}
        self._due: list[Leg] = []
        self._silent: dict[PathId, dict[Leg, None]] = {}

    def open(self) -> None:
        """Open what the kernel is asked through; without it, what only that can tell stays unknown."""
        with suppress(OSError):
            self._lookup = RouteLookup()

    def close(self) -> None:
        """Forget all legs, and close what is open."""
        if self._lookup is not None:
            self._lookup.close()
        self._lookup = None
        self.forget(set())

    def forget(self, kept: AbstractSet[Leg]) -> None:
        """Forget all legs but those ``kept``."""
        self._checks = {leg: check for leg, check in self._checks.items() if leg in kept}
        self._due = [leg for leg in self._due if leg.checks in kept]
        silent = {path: {leg: None for leg in legs if leg in kept} for path, legs in self._silent.items()}
        self._silent = {path: legs for path, legs in silent.items() if legs}

    # One of several targets

    def polled(self, leg: Leg) -> None:
        """Something became of a probe of a leg that is polled with others: does it alone not answer?"""
        path, silent = leg.settings.path, leg.poll is not None and leg.place in leg.poll.silent
        known = self._silent.get(path, {})
        if silent == (leg in known):
            return
        if silent:
            known = self._silent.setdefault(path, known)
            known[leg] = None
        else:
            del known[leg]
        if known:
            names = " and ".join(one.address or one.target.name or "" for one in known)
            does = "does" if len(known) == 1 else "do"
            text = f"of its targets {names} {does} not answer, while enough others do: look at {names}, not at the path"
            self._findings.found(path, Finding.TARGET, text)
        else:
            self._findings.over(path, Finding.TARGET)

    # This machine's own doing

    def refused(self, leg: Leg, error: int, now: float) -> None:
        """This machine did not send a probe, for the reason of this errno."""
        leg.refused_at = now
        if leg.target.name is None or leg.packed:  # a name that is not resolved is a finding of its own
            self._findings.found(leg.settings.path, Finding.LOCAL, self._missing_source(leg, now) or words(error))

    def stuck(self, leg: Leg, now: float) -> None:
        """A probe entered this machine's own queue and never left it."""
        leg.refused_at = now
        text = f"the queue of {leg.settings.device or 'the device'} is full, and drops the probes"
        self._findings.found(leg.settings.path, Finding.LOCAL, text)

    def accepted(self, leg: Leg, now: float) -> None:
        """This machine sent a probe again, after it had refused to send one of this leg."""
        if now - leg.refused_at >= _TROUBLE_OVER:
            leg.refused_at = -math.inf
            self._findings.over(leg.settings.path, Finding.LOCAL)

    def unroutable(self, leg: Leg, now: float) -> int:
        """The errno with which this machine's routes refuse the leg's target; 0: they lead there. To be asked when a
        probe is overdue: bound to a device, it was sent whatever the routes say."""
        if now < leg.routed_at + _ROUTED_FOR:
            return 0
        device = leg.settings.device
        interface = self._devices.index(device) if device else 0
        if self._lookup is None:
            return 0
        error = self._lookup.refusal(leg.family, leg.packed, mark=leg.settings.mark, interface=interface)
        if error == 0:
            leg.routed_at = now
        return error

    def answers_itself(self, leg: Leg, now: float) -> bool:
        """Whether the target is an address of this machine, which answers whatever becomes of the path. To be asked
        before each probe."""
        if now >= self._own_at + _OWN_FOR:
            self._look_at_ourselves(now)
        own = leg.packed in self._own or (leg.family == IPV4 and leg.packed.startswith(_LOOPBACK))
        if own:
            leg.refused_at = now
            text = f"the target {leg.address} is an address of this machine, which would answer itself: it is not asked"
            self._findings.found(leg.settings.path, Finding.LOCAL, text)
        return own

    def _missing_source(self, leg: Leg, now: float) -> str:
        """That the address to probe from is not there, for which the kernel has other words; empty: it is."""
        source = leg.target.source
        if source is None or self._lookup is None:
            return ""
        if now > self._own_at:
            self._look_at_ourselves(now)
        there = socket.inet_pton(address_family(leg.family), source) in self._own
        return "" if there else f"the source {source} is not an address of this machine"

    def _look_at_ourselves(self, now: float) -> None:
        self._own_at = now
        if self._lookup is not None:
            with suppress(OSError):
                self._own = self._lookup.own()

    # The target's

    def lost(self, leg: Leg, sent_at: float) -> bool:
        """A probe is lost. True if so many are in a row that another identifier should be tried."""
        if leg.checks is not None:
            self._echoed(leg.checks, answered=False)
            return False
        leg.losses += 1
        leg.limit = leg.limit or Limit()
        leg.limit.lost(sent_at)
        if leg.losses % _LOOK_EVERY == 1:
            self._look_for_limit(leg, leg.limit)
        if leg.settings.method != ICMP:
            check = self._checks.get(leg)
            if check is None or check.address != leg.address:
                check = self._checks[leg] = self._carriers.check(leg)
            self._due.append(check)
        return leg.losses % SILENT == 0

    def answered(self, leg: Leg, sent_at: float) -> None:
        """A probe of a leg that had losses or wrong answers, or that checks another, was answered."""
        if leg.checks is not None:
            self._echoed(leg.checks, answered=True)
            return
        if leg.wrong:
            self._findings.over(leg.settings.path, leg.wrong)
            leg.wrong = None
        if leg.losses >= SILENT:
            self._findings.over(leg.settings.path, Finding.ICMP_ONLY)
        if leg.losses:
            self._findings.over(leg.settings.path, Finding.ELSEWHERE)
        leg.losses = 0
        if leg.limit is not None:
            leg.limit.answered(sent_at)
            if leg.limit.quiet:
                leg.limit = None
                self._findings.over(leg.settings.path, Finding.RATE_LIMITED)

    def claimed(self, leg: Leg, rtt: float, claimed: float) -> None:
        """The target claims to have held an answer for ``claimed`` seconds of ``rtt``, too much to be believed; 0: it
        does not, or not any longer."""
        path, leg.claims = leg.settings.path, leg.claims + 1 if claimed else 0
        if leg.claims >= SILENT:
            text = (
                f"the reflector claims {claimed * 1000:.1f} ms of {rtt * 1000:.1f} ms for itself, though no round trip "
                f"was that much shorter of late: it is not believed, and the RTT is the whole"
            )
            self._findings.found(path, Finding.RESIDENCE, text)
        elif not leg.claims:
            self._findings.over(path, Finding.RESIDENCE)

    def strayed(self, leg: Leg, address: str) -> None:
        """An answer to a probe of this leg came from another address than its target's."""
        silent, by = (leg.checks, "echoes") if leg.checks else (leg, "probes")
        text = (
            f"{address} answers {by} to {leg.address}: something on the way changes the source of its answers (SNAT at "
            f"the far side?), and they do not count"
        )
        self._findings.found(silent.settings.path, Finding.ELSEWHERE, text)

    def wrong(self, leg: Leg, finding: Finding, words: str) -> None:
        """Who answers a probe of this leg is not who was meant, or does not tell what was asked."""
        leg.wrong = finding
        self._findings.found(leg.settings.path, finding, f"{leg.address} {words}: {_WRONG[finding]}")

    def checks(self) -> list[Leg]:
        """The legs to send one probe each, to test whether a silent target answers ICMP."""
        due, self._due = self._due, []
        return due

    def _echoed(self, leg: Leg, *, answered: bool) -> None:
        """The target of this leg, which loses probes, was asked for an echo by the same path."""
        if leg.limit is not None:
            leg.limit.echoed(answered)
        path, method = leg.settings.path, leg.settings.method.upper()
        if not answered or leg.wrong or leg.losses < SILENT or Finding.RATE_LIMITED in self._findings.of(path):
            return
        port = f" at port {leg.settings.port}" if leg.settings.port else ""
        if leg.answered_at == -math.inf:
            text = f"the target answers ICMP, but nothing by {method}{port}"
        else:
            text = (
                f"the target answers ICMP, but no longer by {method}{port}: its service has stopped, a firewall is in "
                f"the way, or it limits how many it answers"
            )
        self._findings.found(path, Finding.ICMP_ONLY, text)

    def _look_for_limit(self, leg: Leg, limit: Limit) -> None:
        path = leg.settings.path
        if (rate := limit.looks_limited()) is not None:
            text = f"the target seems to answer only {rate:.2g} probes a second: such loss is not the path's"
        elif (lost := limit.refuses()) is not None:
            text = (
                f"the target leaves {lost:.0%} of the probes by {leg.settings.method.upper()} unanswered, and "
                f"hardly any echo by the same path: it seems to limit answers, and such loss is not the path's"
            )
        else:
            self._findings.over(path, Finding.RATE_LIMITED)
            return
        self._findings.found(path, Finding.RATE_LIMITED, text)
        self._findings.over(path, Finding.ICMP_ONLY)
