"""Probing on a kernel that was booted without IPv6."""

import errno
import os
import socket
import time
from contextlib import ExitStack, closing
from typing import Any

import pytest

from steerd.config.probe_settings import ProbePath, ProbeSettings, Target
from steerd.net.devices import Devices
from steerd.probe.methods.carriers import Carriers
from steerd.probe.outcomes.ledger import Egress, Flight
from steerd.probe.trouble.lookup import words


@pytest.mark.parametrize("method", ["icmp", "tcp", "udp", "http"])
def test_a_family_that_this_machine_does_not_have_is_refused_probe_by_probe_and_not_at_the_start(monkeypatch, method):
    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1, *more: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, *more, **named)

    monkeypatch.setattr(socket, "socket", WithoutIPv6)
    path = ProbePath("a/b", "a", "", 0, (Target(6, "fd00::1"),), 1.0, 1.0, method=method, port=9)
    carriers = Carriers(lambda _: None, Devices(), None)
    with closing(carriers), ExitStack() as opened:
        carriers.open(ProbeSettings((path,), 0.0), opened)
        (leg,) = carriers.legs(path)
        leg.ask(Flight(7, leg, 0, time.monotonic(), time.time_ns(), 1.0, 1.0, Egress()))
        refused = [error for carrier in carriers for _, error in carrier.send()]
    assert refused == [errno.EAFNOSUPPORT]
    assert "booted without the family" in words(errno.EAFNOSUPPORT)
