"""The fleet service's configuration file to its settings, or to the list of all that is wrong with it."""

import socket
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from steerd.config import mqtt
from steerd.config.file import files
from steerd.config.file import toml as read
from steerd.config.file.problem import ConfigError, Report
from steerd.config.file.table import Table
from steerd.config.file.toml import Layout
from steerd.config.fleet.settings import FleetSettings
from steerd.config.mqtt import Mqtt
from steerd.config.settings import ExportSettings
from steerd.config.values import addresses, names, quantities
from steerd.config.values.names import FilePath, Name


class Fleet(Table):
    name: Name | None = None
    regions: list[Name] = []
    inventory: FilePath | None = None
    rollup_interval: Annotated[float, quantities.duration(1, 300)] = 30.0
    stale_after: Annotated[float, quantities.duration(1, 86_400)] = 30.0


class Export(Table):
    listen: Annotated[tuple[str, int], BeforeValidator(addresses.listen)] = ("127.0.0.1", 9912)


class Document(Table):
    """The whole file."""

    fleet: Fleet = Fleet()
    mqtt: Mqtt | None = None
    export: Export = Export()


LAYOUT = Layout(Document, {"fleet": Fleet, "mqtt": Mqtt, "export": Export}, {})


def load(path: Path) -> FleetSettings:
    """Reads and checks the whole file. Relative paths in it are relative to its folder. ConfigError: every problem that
    could be found, at once."""
    report = Report(path)
    raw = read.toml(path)
    report.tables = raw
    tables = read.document(raw, LAYOUT, report)
    mqtt.check(tables.mqtt, path.parent, report)
    if not raw.get("mqtt") and not report.touched("mqtt"):
        report.error("mqtt", None, "is missing: must say which broker is heard, as [mqtt]")
    files.missing("fleet.inventory", tables.fleet.inventory, path.parent, report)
    name = tables.fleet.name or socket.gethostname()
    try:
        names.name(name)
    except ValueError as error:
        report.error("fleet.name", name, f"is the host name: {error}")
    if report.problems or tables.mqtt is None:
        raise ConfigError(report.problems)
    return FleetSettings(
        name=name,
        regions=tuple(tables.fleet.regions),
        inventory=files.located(tables.fleet.inventory, path.parent),
        rollup_interval=tables.fleet.rollup_interval,
        stale_after=tables.fleet.stale_after,
        mqtt=mqtt.settings(tables.mqtt, name, "default", path.parent),
        export=ExportSettings(*tables.export.listen),
    )
