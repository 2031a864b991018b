"""Lab tests live in real time. One that fails while the machine stood still is made again, twice at most; one that
fails for any other reason fails, and so does what runs under a systemd of its own for minutes. The last line of the
run counts those that were made again (``rerun``)."""

import time
from collections.abc import Sequence

import pytest

from tests.stalls import Stalls

_stalls: Stalls | None = None
_began = 0.0


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("lab") and not item.get_closest_marker("system"):
            item.add_marker(pytest.mark.flaky(reruns=2, condition=_stood_still))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _stalls, _began  # noqa: PLW0603 (hooks are functions)
    if _stalls is None and item.get_closest_marker("lab"):
        _stalls = Stalls()
    _began = time.monotonic()


def _stood_still() -> bool:
    return _stalls is not None and _stalls.since(_began)


def pytest_unconfigure() -> None:
    if _stalls is not None:
        _stalls.close()
