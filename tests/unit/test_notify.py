"""Telling systemd, with a socket in its place."""

import os
import socket
import threading

import pytest

from steerd.daemon.notify import notify, watchdog_period


@pytest.mark.parametrize("abstract", [False, True])
def test_assignments_go_to_the_socket(tmp_path, monkeypatch, abstract):
    name = f"\0steerd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        systemd.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        notify(READY="1", STATUS="users: fra1/wg")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=users: fra1/wg"


def test_without_systemd_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY="1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify(READY="1")


@pytest.mark.parametrize(
    ("usec", "pid", "period"),
    [("", "", None), ("30000000", "", 30.0), ("30000000", "ours", 30.0), ("30000000", "1", None)],
)
def test_the_watchdog_is_fed_only_when_it_watches_us(monkeypatch, usec, pid, period):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert watchdog_period() == period


def test_a_service_manager_that_reads_nothing_holds_up_nobody(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        thread = threading.Thread(target=lambda: [notify(STATUS="x" * 500) for _ in range(100)], daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
