"""What a PoP's agent is told: checked, in seconds and numbers."""

from dataclasses import dataclass
from pathlib import Path

from steerd.config.probe_settings import ProbeSettings
from steerd.config.settings import ExportSettings, MqttSettings


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the PoP's load is read, every ``interval`` seconds, within ``timeout`` seconds: one of a ``command``, a
    ``file``, an ``interface``, which is full at ``capacity`` bytes a second, or the Prometheus server at ``url``, which
    is asked ``query``."""

    interval: float
    timeout: float
    command: tuple[str, ...] = ()
    file: Path | None = None
    interface: str = ""
    capacity: float = 0.0
    url: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class ReflectSettings:
    """Where UDP probes are answered; those signed with the key in ``key_file`` alone, if there is one, and of
    ``allow``, if there are any; ``rate`` answers a second to one session."""

    listen: tuple[tuple[str, int], ...]
    key_file: Path | None
    allow: tuple[str, ...]
    rate: float


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """``capacity`` is the PoP's, in bytes a second. Before it ends the agent says for ``drain_for`` seconds that the
    PoP takes nobody (0: it does not say so). The paths of ``links`` are named `TO/link`; what is measured of them is
    forgotten with ``half_life``, in seconds. ``warnings``: what is allowed but hardly meant, one line each."""

    source: Path
    pop: str
    accepting: bool
    capacity: float | None
    drain_for: float
    mqtt: MqttSettings
    load: LoadSettings | None
    links: ProbeSettings
    half_life: float
    reflect: ReflectSettings | None
    export: ExportSettings | None
    warnings: tuple[str, ...] = ()
