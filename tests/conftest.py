"""What is the same for all tests: `tests.reruns`, how many examples are drawn, and over several workers the order."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.reruns"]

# A machine that stalls is no fault of what is tested. `make unit` draws fewer: --hypothesis-profile=quick.
settings.register_profile("steerd", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("steerd"), max_examples=12)
settings.load_profile("steerd")


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
