"""What each stage is told: frozen, already checked, in seconds and numbers. `load` builds it from TOML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from steerd.config.detour import Detour
from steerd.config.hook import HookSettings
from steerd.config.methods import METHODS
from steerd.config.uplink import UplinkSettings
from steerd.core.settings import PathId, PolicyId, Settings, ThresholdSettings, WhenNone

IPV4 = 4
IPV6 = 6
AUTO = "auto"
"""In the place of a next hop: that of main's default route through the path's device."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one leg of a path probes. ``family`` is 4 or 6, ``address`` numeric; it is empty where ``name`` is a host
    name to be resolved in this family. Probes come from ``source``; None: from where the routes say."""

    family: int
    address: str
    name: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """What is asked of a target by HTTP, and what it has to answer: the status, and the body, if any is wanted."""

    host: str
    path: str
    status: int = 204
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ProbePath:
    """A path as the prober sees it: those of its `targets` that are of one family are one of the core's legs, and
    `quorum` of them must answer (0: half of them, or more); `mark` goes on every probe. `port` is for all but ICMP;
    `size` is the payload of a probe in bytes (0: the method's usual one); `key_file` holds the key of authenticated
    STAMP; `budget` is what all probes of the device may take, in bytes a second."""

    path: PathId
    pop: str
    device: str
    mark: int
    targets: tuple[Target, ...]
    interval: float
    timeout: float
    method: str = "icmp"
    port: int = 0
    size: int = 0
    dscp: int = 0
    key_file: Path | None = None
    budget: float | None = None
    quorum: int = 0
    check: HttpCheck | None = None
    query: str = ""

    @property
    def legs(self) -> Sequence[int]:
        """The families of the core's legs, in their order."""
        return list(dict.fromkeys(target.family for target in self.targets))


_IP_HEADER = {IPV4: 20, IPV6: 40}


def payload_bytes(path: ProbePath) -> int:
    """Bytes behind the ICMP or UDP header of each of the path's probes; 0 for TCP, whose SYN carries none."""
    method = METHODS[path.method]
    return path.size or (method.keyed_payload if path.key_file else method.payload)


def probe_bytes(path: ProbePath, family: int) -> int:
    """Bytes of IP that one probe of the path sends in this family (4 or 6), when it is answered."""
    return sum(_IP_HEADER[family] + packet for packet in METHODS[path.method].packets) + payload_bytes(path)


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    paths: tuple[ProbePath, ...]
    grid: float
    """The shortest interval in use, in seconds: the period of the probing grid."""
    mtu_interval: float = 0.0
    """How often each path's MTU is tested, in seconds; 0: never."""


@dataclass(frozen=True, slots=True)
class TunnelPath:
    """A path as WireGuard is asked about it: the addresses of its `targets`, 4 or 16 bytes (none for names), and the
    public key of its `peer` (empty: the one whose AllowedIPs have the targets), and the host and port of its
    `endpoint`, where that is followed."""

    path: PathId
    device: str
    targets: tuple[bytes, ...]
    peer: str = ""
    endpoint: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """`interval` is how often handshakes and counters are read, in seconds; 0: never."""

    paths: tuple[TunnelPath, ...]
    interval: float


@dataclass(frozen=True, slots=True)
class RoutePath:
    """A path as the kernel sees it. `via`/`via6` are next hops, or `AUTO`; `families` those that it carries. `mark`
    leads to `table`, the path's own, and so does `inbound_mark`, that of connections that came in by the path (0: there
    was no number left for it). `peer` is the public key of the one of its device's peers that it leads to, if not all;
    `over` the uplink that the tunnel's own packets are to take, and the table that they ask for it; or empty."""

    path: PathId
    device: str
    via: str | None
    via6: str | None
    families: frozenset[int]
    uplink: str
    mark: int
    table: int
    inbound_mark: int = 0
    peer: str = ""
    over: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Packed, sorted, without duplicates: 5 bytes (address, length) per IPv4 prefix, 17 per IPv6 prefix. A policy may
    have 200,000, so they are never objects."""

    v4: bytes = b""
    v6: bytes = b""


class Flows(StrEnum):
    """What becomes of established connections at a switch: they move too, or stay while new ones take the new path;
    AUTO: they stay where the kernel and `nft` can do it. CLIENT: they stay, and so do new ones of whoever has some."""

    AUTO = "auto"
    PIN = "pin"
    CLIENT = "client"
    MOVE = "move"


class Guard(StrEnum):
    """Whether a policy's traffic may be forwarded by its paths' devices only. USUAL: yes, but a gateway without `nft`
    does without; ALWAYS: yes, or steerd does not start."""

    OFF = "off"
    USUAL = "usual"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """A policy as the kernel sees it. `order` is its place in the file, from 0. Empty `sources` and `iifs`
    select everything forwarded; `fwmark` is the mark that packets must have, and the bits of it that count (none: any).
    `allowed` are the paths that it may use (None: all); `max_drain` is how long its connections may stay on a path that
    was left, in seconds; `client_idle` how long a client that is kept whole may be silent until it is free to take
    another path, in seconds; `spread` is how many paths may carry its traffic at a time."""

    policy: PolicyId
    table: int
    order: int
    prefixes: Prefixes
    excepted: Prefixes = field(default_factory=Prefixes)
    sources: tuple[str, ...] = ()
    iifs: tuple[str, ...] = ()
    fwmark: tuple[int, int] = (0, 0)
    own_traffic: bool = False
    when_none: WhenNone = WhenNone.KEEP
    guard: Guard = Guard.OFF
    flows: Flows = Flows.MOVE
    max_drain: float = 3600.0
    client_idle: float = 300.0
    allowed: frozenset[PathId] | None = None
    spread: int = 1


class OnStop(StrEnum):
    KEEP = "keep"
    CLEANUP = "cleanup"
    BLOCK = "block"


class Actuator(StrEnum):
    """What a switch changes. NETLINK: the routes alone; WIREGUARD: first which peer of its device a path leads to."""

    NETLINK = "netlink"
    WIREGUARD = "wireguard"


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """`table` is the first of `TABLES` tables and `rule_priority` the first of 100 that are ours; nexthop
    ids are taken from `nexthop_base` on; `mark_mask` holds the bits of the packet mark that are ours;
    `bypass_mark` 0 means none. `management` prefixes are never steered, never blocked. `main_mark`: of answers to what
    came in by no path of ours, which `main` routes (0: there is no number left for it)."""

    protocol: int
    table: int
    rule_priority: int
    nexthop_base: int
    mark_mask: int
    bypass_mark: int
    management: tuple[str, ...]
    on_stop: OnStop
    paths: tuple[RoutePath, ...]
    policies: tuple[RoutePolicy, ...]
    nexthop_objects: bool = True
    """False forces the batched replace that serves kernels without nexthop objects."""
    nft_table: str = "steerd"
    """The one table of nftables, of family inet, that is ours."""
    actuator: Actuator = Actuator.NETLINK
    main_mark: int = 0
    clamp_mss: bool = False  # whether TCP connections are told at their start what the path's MTU leaves them
    count: bool = False  # whether policies' packets are counted by where they go
    detours: tuple[Detour, ...] = ()

    @property
    def guards(self) -> bool:
        """Whether any policy has a leak guard."""
        return any(policy.guard is not Guard.OFF for policy in self.policies)

    @property
    def pins(self) -> bool:
        """Whether established connections of any policy stay where they are."""
        return any(policy.flows is not Flows.MOVE for policy in self.policies)


PACKETS = "_packets"
"""Behind the name of our table of nftables: what that of the counters is called."""
POLICY_TABLES = 100  # tables kept for policies: `table` to `table + 99`; the paths' tables follow
SELECTORS = 68
OWN_SELECTORS = 20
"""How many different selectors there are rule priorities for: of forwarded traffic, and of the gateway's own."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    host: str
    port: int
    tls: bool
    tenant: str
    gateway: str
    region: str
    username: str | None
    password_file: Path | None
    ca: Path | None
    cert: Path | None
    key: Path | None
    publish_interval: float
    trusted_keys: tuple[tuple[str, str], ...] = ()
    """Public keys whose orders are taken, base64 of 32 bytes, each with its name or an empty one."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, as the stages take it. `observe`: nothing in the kernel is touched; `warnings`: what is
    allowed but hardly meant, one line each; `written`: what the file says, by section and key (`config.written`)."""

    source: Path
    gateway: str
    region: str
    core: Settings
    probe: ProbeSettings
    tunnel: TunnelSettings
    route: RouteSettings
    mqtt: MqttSettings | None
    export: ExportSettings
    control_socket: Path
    store_path: Path
    record: bool
    observe: bool = False
    trace_after_switch: bool = True
    hooks: tuple[HookSettings, ...] = ()
    uplinks: tuple[UplinkSettings, ...] = ()
    warnings: tuple[str, ...] = ()
    written: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def switch_price(self) -> float | None:
        """What a switch costs, in ms*s; None: the rule has no price."""
        rule = self.core.rule
        return None if isinstance(rule, ThresholdSettings) else rule.price
