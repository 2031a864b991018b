"""What the fleet service is told: checked, in seconds."""

from dataclasses import dataclass
from pathlib import Path

from steerd.config.settings import ExportSettings, MqttSettings


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """``regions``: those that are heard, none: all. ``inventory``: the file that lists the gateways; without it nothing
    is rolled up, each ``rollup_interval`` seconds. A gateway that has said nothing for ``stale_after`` seconds is
    stale."""

    name: str
    regions: tuple[str, ...]
    inventory: Path | None
    rollup_interval: float
    stale_after: float
    mqtt: MqttSettings
    export: ExportSettings
