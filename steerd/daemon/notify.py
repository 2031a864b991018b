"""Telling systemd: readiness, status, and that there is progress (sd_notify(3))."""

import os
import socket
from typing import Final

_LINE_MAX: Final = 512
PATIENCE: Final = 0.05
"""Seconds: a service manager that stands still holds up no steering."""


def notify(**state: str) -> None:
    """Send assignments such as ``READY="1"`` or ``STATUS="..."``. Without systemd this does nothing; a failure
    to tell, or one who does not listen, is no failure of the daemon."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value[:_LINE_MAX]}" for name, value in state.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(PATIENCE)
            sender.connect(address)
            sender.send(message.encode())
    except OSError:
        return


def watchdog_period() -> float | None:
    """How often systemd wants to hear of progress, in seconds; None: it does not watch this process."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6
