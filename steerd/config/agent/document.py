"""The agent's configuration as it is written: one class per table."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from steerd.config import methods
from steerd.config.file.table import Table
from steerd.config.file.toml import Layout
from steerd.config.mqtt import Mqtt
from steerd.config.values import addresses, quantities
from steerd.config.values.addresses import PrefixText
from steerd.config.values.names import Device, FilePath, Name
from steerd.config.values.quantities import Interval, Port, Rate, Timeout

Text = Annotated[str, Field(min_length=1)]


class Agent(Table):
    pop: Name | None = None
    accepting: bool = True
    capacity: Rate | None = None
    drain_for: Annotated[float, quantities.duration(0, 60)] = 5.0


class Load(Table):
    command: Annotated[list[Text], Field(min_length=1)] | None = None
    file: FilePath | None = None
    interface: Device | None = None
    prometheus: Annotated[str, BeforeValidator(addresses.web)] | None = None
    query: Text | None = None
    interval: Annotated[float, quantities.duration(0.1, 60)] = 5.0
    timeout: Annotated[float, quantities.duration(0.1, 60)] = 2.0


class Probe(Table):
    interval: Interval = 1.0
    timeout: Timeout = 1.0
    half_life: Annotated[float, quantities.duration(0.1, 3600)] = 10.0


class Link(Table):
    to: Name
    target: Annotated[str, BeforeValidator(addresses.any_target)]
    method: Annotated[str, BeforeValidator(methods.known)] = "icmp"
    port: Port | None = None
    get: Annotated[str, BeforeValidator(addresses.page)] | None = None
    expect: Annotated[int, quantities.integer(100, 599)] | None = None
    body: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    query: Annotated[str, BeforeValidator(addresses.query)] | None = None
    key_file: FilePath | None = None


class Reflect(Table):
    listen: Annotated[list[Annotated[tuple[str, int], BeforeValidator(addresses.listen)]], Field(min_length=1)]
    key_file: FilePath | None = None
    allow: list[PrefixText] = []
    rate: Annotated[float, quantities.number(0.1, 1e6)] = 100.0


class Export(Table):
    listen: Annotated[tuple[str, int], BeforeValidator(addresses.listen)]


class Document(Table):
    """The whole file. An entry of `link` that had to be refused is None."""

    agent: Agent = Agent()
    mqtt: Mqtt | None = None
    load: Load | None = None
    probe: Probe = Probe()
    link: list[Link | None] = []
    reflect: Reflect | None = None
    export: Export | None = None


_TABLES = {table.__name__.lower(): table for table in (Agent, Mqtt, Load, Probe, Link, Reflect, Export)}
LAYOUT = Layout(Document, _TABLES, {"link": "[[link]]"})
