"""Routes of others as sets of prefixes, by where they lead."""

from collections.abc import Mapping
from typing import NamedTuple


class Lead(NamedTuple):
    """All of a route but its prefix. ``devices`` are sorted; none: it leads nowhere, or by a nexthop object whose
    device the kernel does not show. ``attached``: the network is on the device itself, since an address of it made the
    route. ``some``: it is about packets of one type of service, or from one source, alone."""

    family: int
    type: int
    metric: int = 0
    devices: tuple[str, ...] = ()
    via: str = ""
    attached: bool = False
    some: bool = False


Leads = Mapping[Lead, bytes]
"""Packed prefixes, sorted."""
