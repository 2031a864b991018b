"""The watcher of stalls, stopped as a busy host would stop it."""

import signal
import time

from tests.stalls import STILL, Stalls


def test_what_stands_still_is_told_from_before_and_from_what_comes_after() -> None:
    stalls = Stalls()
    try:
        end = time.monotonic() + 20
        began = time.monotonic()
        while not stalls.since(began) and time.monotonic() < end:  # it takes a moment to begin
            stalls._process.send_signal(signal.SIGSTOP)
            time.sleep(2 * STILL)
            stalls._process.send_signal(signal.SIGCONT)
            time.sleep(STILL)
        assert stalls.since(began)
        assert not stalls.since(time.monotonic() + 60)
    finally:
        stalls.close()
