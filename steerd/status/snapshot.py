"""What a gateway is at one moment, as every stage sees it: metrics, status and `why` are worded from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from steerd.core.events import Observed
from steerd.core.settings import PathId, PolicyId
from steerd.core.views import ProbingView, TunnelView, View
from steerd.status.catalogue import CatalogueView


class Underlay(NamedTuple):
    """Where the tunnel that a path leads through sends its outer packets. ``remote`` is its far end; ``device`` is
    empty where the kernel has no way there. ``table``: which routing table says so."""

    remote: str
    device: str
    table: int


class Went(NamedTuple):
    """How many packets of a family (4 or 6) went where: ``choice``, ``path``, ``astray``, ``guard`` or ``nowhere``, the
    first three by a ``device``."""

    family: int
    where: str
    device: str
    packets: int


class Packets(NamedTuple):
    """Where the last packets of a policy went, over about so many seconds; ``wrong``: too many went where they should
    not."""

    seconds: float
    went: tuple[Went, ...]
    wrong: bool = False


class Trial(NamedTuple):
    """A reload that waits to be confirmed, or how the last one ended that was not.

    ``state``: ``unconfirmed``, ``taken-back`` or ``stuck``; ``left``: seconds until it is taken back, ``ago``: seconds
    since it was (None: does not apply); ``problems``: what was in the way of that.
    """

    state: str
    left: float | None = None
    ago: float | None = None
    problems: tuple[str, ...] = ()


class UplinkView(NamedTuple):
    """An uplink as it is counted and priced. ``device``: there is one of its name; ``metered``: None: not known;
    ``price`` and ``scarcity``, what it costs that its cap is near, in ms; ``bytes`` since the day ``began``, until the
    day ``ends`` (both ISO 8601, empty: the clock is not set); ``cap`` in bytes (None: it has none); ``state``: `open`,
    `near`, `last-resort` or `reached`."""

    name: str
    device: bool
    metered: bool | None
    price: float
    scarcity: float
    bytes: int
    cap: int | None
    began: str
    ends: str
    state: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``price``: of a switch in ms*s (None: the rule has none). ``installed``: prefixes that the kernel has, by policy
    and family (4 or 6). ``outcomes``: how many probes of a path became what; ``skipped``: how many were not sent
    because their time had passed. ``dropped``: packets of each policy that the leak guard dropped; ``packets``: where
    the last ones of each went; ``packet_totals``: since the start, by policy, family, where and device. ``staying``:
    how many connections paths have that carry no policy. ``remarks``: what around us keeps steerd from doing all that
    is asked of it. ``uplinks``, ``catalogue``: those of the configuration. ``observed``: where each policy's traffic
    goes while steerd only observes; None: it steers. What a stage does not know of a path is not there.
    """

    view: View
    gateway: str = ""
    price: float | None = None
    installed: Mapping[tuple[PolicyId, int], int] = field(default_factory=dict)
    probing: Mapping[PathId, ProbingView] = field(default_factory=dict)
    outcomes: Mapping[PathId, Mapping[str, int]] = field(default_factory=dict)
    skipped: int = 0
    tunnels: Mapping[PathId, TunnelView] = field(default_factory=dict)
    underlays: Mapping[PathId, Underlay] = field(default_factory=dict)
    dropped: Mapping[PolicyId, int] = field(default_factory=dict)
    packets: Mapping[PolicyId, Packets] = field(default_factory=dict)
    packet_totals: Mapping[tuple[PolicyId, int, str, str], int] = field(default_factory=dict)
    staying: Mapping[PathId, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    trial: Trial | None = None
    uplinks: tuple[UplinkView, ...] = ()
    catalogue: CatalogueView | None = None
    observed: Mapping[PolicyId, Observed] | None = None
