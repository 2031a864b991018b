"""What is the same for all tests: `tests.reruns`, and over several workers the order."""

import pytest

pytest_plugins = ["tests.reruns"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lab tests wait, the others compute: each worker gets as many of both, in turn, so that no core idles."""
    if not hasattr(config, "workerinput"):
        return
    from tests.reruns import REAL  # as a plugin it is imported by pytest first

    real = [item for item in items if any(item.get_closest_marker(marker) for marker in REAL)]
    waits = set(real)
    rest = [item for item in items if item not in waits]
    step = len(rest) // len(real) if real else 0
    items[:] = [one for place, item in enumerate(real) for one in (item, *rest[place * step : (place + 1) * step])]
    items += rest[len(real) * step :]
