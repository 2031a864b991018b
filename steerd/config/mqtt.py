"""The table `[mqtt]`, which every program that speaks to the broker has."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from steerd.config.file import files
from steerd.config.file.files import located
from steerd.config.file.problem import Report
from steerd.config.file.table import Table
from steerd.config.settings import MqttSettings
from steerd.config.values import addresses, names, quantities
from steerd.config.values.names import FilePath, Name


class Mqtt(Table):
    url: Annotated[tuple[str, int, bool], BeforeValidator(addresses.broker)]
    tenant: Name
    username: Annotated[str, Field(min_length=1)] | None = None
    password_file: FilePath | None = None
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None
    publish_interval: Annotated[float, quantities.duration(0.1, 3600)] = 10.0
    trusted_keys: list[Annotated[tuple[str, str], BeforeValidator(names.trusted_key)]] = []


def check(own: Mqtt | None, folder: Path, report: Report) -> None:
    """What keys ask of each other, and of files."""
    if own is None:
        return
    for key, needs in (("cert", "key"), ("key", "cert"), ("password_file", "username")):
        value = getattr(own, key)
        if value and not getattr(own, needs) and not report.touched(f"mqtt.{needs}"):
            report.error(f"mqtt.{key}", value, f"must come with {needs}")
    for key in ("ca", "cert", "key", "password_file"):
        value = getattr(own, key)
        if value and key != "password_file" and not own.url[2]:
            report.error(f"mqtt.{key}", value, "must come with TLS: a url that begins with mqtts://")
        files.missing(f"mqtt.{key}", value, folder, report)


def settings(written: Mqtt, gateway: str, region: str, folder: Path) -> MqttSettings:
    """What sharing is told: ``gateway`` is who speaks, in this region."""
    host, port, tls = written.url
    return MqttSettings(
        host=host,
        port=port,
        tls=tls,
        tenant=written.tenant,
        gateway=gateway,
        region=region,
        username=written.username,
        password_file=located(written.password_file, folder),
        ca=located(written.ca, folder),
        cert=located(written.cert, folder),
        key=located(written.key, folder),
        publish_interval=written.publish_interval,
        trusted_keys=tuple(written.trusted_keys),
    )
