"""The whole configuration: frozen, already checked, in seconds and numbers. `load` builds it from TOML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerd.config.catalogue.signed import Listed
from steerd.config.hook import HookSettings
from steerd.config.probe_settings import ProbeSettings, TunnelSettings
from steerd.config.route_settings import RouteSettings
from steerd.config.uplink import UplinkSettings
from steerd.core.settings import Settings, ThresholdSettings


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
class CatalogueSettings:
    """Where a signed list of PoPs is looked for every ``interval`` s: a ``file``, a ``url``, checked against ``ca``
    (None: what this machine trusts), or the ``topic`` of its name. ``kept``: where the last good one is."""

    name: str
    file: Path | None
    url: str | None
    ca: Path | None
    interval: float
    trusted_keys: tuple[tuple[str, str], ...]
    kept: Path
    topic: bool = False


@dataclass(frozen=True, slots=True)
class Tables:
    """What the files said, and which of it stands where, without a catalogue."""

    raw: Mapping[str, Any]
    origins: Mapping[str, list[tuple[Path, int]]]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, as the stages take it. `observe`: nothing in the kernel is touched; `warnings`: what is
    allowed but hardly meant, one line each; `written`: what the file says, by section and key (`file.written`)."""

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
    catalogue: CatalogueSettings | None = None
    listed: Listed | None = None
    """The catalogue whose PoPs are among the paths."""
    tables: Tables | None = None

    @property
    def document(self) -> bytes | None:
        """The signed catalogue whose PoPs are among the paths."""
        return self.listed.payload if self.listed else None

    @property
    def switch_price(self) -> float | None:
        """What a switch costs, in ms*s; None: the rule has no price."""
        rule = self.core.rule
        return None if isinstance(rule, ThresholdSettings) else rule.price
