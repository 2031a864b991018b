"""The table `[catalogue]`: where the list is, who may sign it, and how one of its PoPs becomes a path here."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from steerd.config.file import files
from steerd.config.file.files import located
from steerd.config.file.problem import Report
from steerd.config.file.table import Table
from steerd.config.settings import CatalogueSettings
from steerd.config.values import addresses, names, quantities
from steerd.config.values.names import Device, FilePath, Name

INSTEAD = "{name}"
"""What stands in `dev` for the PoP's name."""


def _url(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("https://"):
        raise ValueError('must be a URL that begins with "https://", without a user')
    return addresses.web(value)


class Catalogue(Table):
    name: Name
    file: FilePath | None = None
    url: Annotated[str, BeforeValidator(_url)] | None = None
    topic: bool = False
    ca: FilePath | None = None
    interval: Annotated[float, quantities.duration(1, 86_400)] = 300.0
    trusted_keys: list[Annotated[tuple[str, str], BeforeValidator(names.trusted_key)]] = []
    dev: Annotated[str, Field(min_length=1, max_length=32)]
    via: Annotated[str, BeforeValidator(addresses.via)] | None = None
    via6: Annotated[str, BeforeValidator(addresses.via6)] | None = None
    uplink: Name | None = None
    over: Device | None = None


def check(own: Catalogue | None, keys: int, folder: Path, report: Report, *, broker: bool) -> None:
    """What keys ask of each other, and of files. ``keys``: so many are trusted. ``broker``: there is an `[mqtt]`."""
    if own is None:
        return
    if (own.file is not None) + (own.url is not None) + own.topic != 1 and not report.touched("catalogue"):
        report.error("catalogue", own.name, "must have one of file, url and topic = true")
    if own.topic and not broker and not report.touched("mqtt"):
        report.error("catalogue.topic", own.topic, "must come with an [mqtt] table: which broker has it")
    if own.ca is not None and own.url is None:
        report.error("catalogue.ca", own.ca, "must come with url")
    if not keys and not report.touched("catalogue.trusted_keys") and not report.touched("mqtt"):
        report.error("catalogue.trusted_keys", None, "must list who may sign it, or mqtt.trusted_keys must")
    files.missing("catalogue.ca", own.ca, folder, report)


def settings(own: Catalogue, trusted: tuple[tuple[str, str], ...], folder: Path, store: Path) -> CatalogueSettings:
    """What the daemon is told."""
    return CatalogueSettings(
        name=own.name,
        file=located(own.file, folder),
        url=own.url,
        ca=located(own.ca, folder),
        interval=own.interval,
        trusted_keys=trusted,
        topic=own.topic,
        kept=store / f"catalogue-{own.name}.json",
    )
