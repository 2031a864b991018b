"""Which uplink a tunnel's own outer packets take, where the configuration says it."""

from typing import NamedTuple


class Detour(NamedTuple):
    """Outer packets of a device, which their ``mark`` tells, ask a ``table`` of our own before any other: it has a
    default route for each of the ``ways``: family (4 or 6), device, next hop or empty. None: the mark is not known, and
    what is there stays."""

    table: int
    mark: int | None
    ways: tuple[tuple[int, str, str], ...] = ()
