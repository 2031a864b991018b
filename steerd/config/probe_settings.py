"""What the stages that watch a path are told of it: probing, and WireGuard's own word."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steerd.config.family import IPV4, IPV6
from steerd.config.methods import METHODS
from steerd.core.settings import PathId


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
