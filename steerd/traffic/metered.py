"""Which devices NetworkManager takes for metered: set so, or guessed from what DHCP and the connection's kind say."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from steerd.faults import Boundary
from steerd.net.privileges import drop

ASK: Final = (
    *("nmcli", "--terse", "--fields", "GENERAL.DEVICE,GENERAL.IP-IFACE,GENERAL.METERED"),
    *("device", "show"),
)
WITHIN: Final = 5.0
"""Seconds until it is given up."""
EVERY: Final = 60.0
"""Seconds between two questions."""
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_NAMES: Final = ("GENERAL.DEVICE", "GENERAL.IP-IFACE")


class Watch:
    """Asks it now and then, in a thread of its own, which nobody waits for and which has no capability, nor has what it
    runs. ``tell`` is called on the event loop with every answer of `ask`."""

    def __init__(self, tell: Callable[[Mapping[str, bool]], None]) -> None:
        self._tell = tell
        self._ended = threading.Event()
        self._boundary = Boundary("metered")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask from now on. Safe to repeat."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._work, args=(loop,), name="steerd-metered", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ask no more. Returns at once."""
        self._ended.set()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(OSError):  # a kernel that lets no right be given up gets no question
            drop()
            while not self._ended.is_set():
                with self._boundary:
                    found = ask()
                    if found is not None:
                        loop.call_soon_threadsafe(self._tell, found)
                self._ended.wait(EVERY)


def ask(command: Sequence[str] = ASK) -> Mapping[str, bool] | None:
    """By device, those that it knows something of. None: it is not there, or says nothing. Blocks."""
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            timeout=WITHIN,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return read(said.stdout.decode(errors="replace"))


def read(text: str) -> Mapping[str, bool]:
    """What nmcli prints: a device after the other, a field a line. A modem's packets go by another device than the one
    that it is called by: both names are its."""
    found: dict[str, bool] = {}
    names: list[str] = []
    for line in text.splitlines():
        field, _, value = line.strip().partition(":")
        if field == _NAMES[0]:
            names = []
        if field in _NAMES:
            names.append(value)
        elif field == "GENERAL.METERED":
            word = value.partition(" ")[0]  # "yes (guessed)"
            found |= {name: word == "yes" for name in names if name and word in ("yes", "no")}
    return found
