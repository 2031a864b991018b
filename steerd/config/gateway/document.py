"""The configuration as it is written: one class per table. What may stand where, and nothing across tables."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from steerd.config import methods
from steerd.config.file.table import Table
from steerd.config.file.toml import Layout
from steerd.config.mqtt import Mqtt
from steerd.config.uplink import FIRST
from steerd.config.values import addresses, marks, names, quantities
from steerd.config.values.addresses import PrefixText
from steerd.config.values.calendar import PartOfDay, ResetDay
from steerd.config.values.marks import CodePoint
from steerd.config.values.names import Device, FilePath, Name
from steerd.config.values.quantities import Amount, Interval, Patience, PayloadSize, Port, Rate, Timeout, Weight

TARGETS_MAX = 8
"""Of a path in each family."""

Page = Annotated[str, BeforeValidator(addresses.page)]
Method = Annotated[str, BeforeValidator(methods.known)]
Query = Annotated[str, BeforeValidator(addresses.query)]


class Gateway(Table):
    name: Name | None = None
    region: Name = "default"
    probe_only: bool = False
    observe: bool = False


class Probe(Table):
    method: Method = "icmp"
    interval: Interval = 1.0
    standby_interval: Interval | None = None
    max_active: Annotated[int, quantities.integer(2, 1000)] = 12
    scout_interval: Annotated[float, quantities.duration(1, 3600)] = 30.0
    timeout: Timeout = 1.0
    down_after: Patience = 0.0
    port: Port | None = None
    get: Page | None = None
    expect: Annotated[int, quantities.integer(100, 599)] | None = None
    body: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    query: Query | None = None
    size: PayloadSize | None = None
    dscp: CodePoint = 0
    key_file: FilePath | None = None
    budget: Rate | None = None
    mtu_interval: Annotated[float, quantities.duration_or_never(1, 86_400)] = 60.0
    wireguard_interval: Annotated[float, quantities.duration_or_never(0.1, 3600)] = 1.0


class Score(Table):
    half_life: Annotated[float, quantities.duration(0.1, 3600)] = 2.0
    loss_penalty: Annotated[float, quantities.milliseconds(0, 10)] = 200.0
    jitter_weight: Annotated[float, quantities.number(0, 100)] = 1.0
    mtu_penalty: Annotated[float, quantities.milliseconds(0, 10)] = 100.0
    load_penalty: Annotated[float, quantities.milliseconds(0, 10)] = 0.0


class Steer(Table):
    rule: Literal["panel", "regret", "threshold"] = "panel"
    switch_price: Annotated[float, BeforeValidator(quantities.switch_price)] = 100.0
    ignore_below: Annotated[float, quantities.milliseconds(0, 10)] = 2.0
    margin: Annotated[float, BeforeValidator(quantities.percent)] = 0.10
    margin_ms: Annotated[float, quantities.milliseconds(0, 10)] = 3.0
    hold: Annotated[float, quantities.duration(0, 3600)] = 30.0


class Fleet(Table):
    gate: Annotated[float, quantities.number(0, 1000)] = 0.0
    spread_within: Annotated[float, quantities.milliseconds(0, 10)] | None = None
    backbone_max: Annotated[float, quantities.milliseconds(0, 10)] = 100.0


class Route(Table):
    table: Annotated[int, quantities.integer(1, 2**31 - 1)] = 4200
    protocol: Annotated[int, quantities.integer(5, 255)] = 210
    rule_priority: Annotated[int, quantities.integer(1, 32666)] = 4200
    nexthop_base: Annotated[int, quantities.integer(1, 2**31 - 2**20)] = 42_000_000
    nexthop_objects: bool = True
    mark: Annotated[int, BeforeValidator(marks.mark_mask)] = 0xFF000000
    bypass_mark: Annotated[int, BeforeValidator(marks.mark)] = 0
    management: list[PrefixText] = []
    on_stop: Literal["keep", "cleanup", "block"] = "keep"
    nft_table: Annotated[str, BeforeValidator(names.nft_table)] = "steerd"
    clamp_mss: bool = True
    count: bool = True
    actuator: Literal["netlink", "wireguard"] = "netlink"


class Export(Table):
    listen: Annotated[tuple[str, int], BeforeValidator(addresses.listen)] = ("127.0.0.1", 9911)


class Control(Table):
    socket: FilePath = "/run/steerd/control.sock"


class Store(Table):
    path: FilePath = "/var/lib/steerd"
    record: bool = False


class Trace(Table):
    after_switch: bool = True


class Hook(Table):
    name: Name
    on: Annotated[list[Literal["switch", "outage", "path", "drain", "reload", "astray"]], Field(min_length=1)]
    run: list[Annotated[str, Field(min_length=1)]] = []
    url: Annotated[str, BeforeValidator(addresses.web)] | None = None
    key_file: FilePath | None = None
    timeout: Annotated[float, quantities.duration(0.1, 300)] = 10.0
    retries: Annotated[int, quantities.integer(0, 10)] = 3
    user: Name | None = None


class Path(Table):
    dev: Device
    peer: Annotated[str, BeforeValidator(names.peer)] | None = None
    endpoint: Annotated[tuple[str, int], BeforeValidator(addresses.endpoint)] | None = None
    name: Name | None = None
    uplink: Name | None = None
    over: Device | None = None
    via: Annotated[str, BeforeValidator(addresses.via)] | None = None
    via6: Annotated[str, BeforeValidator(addresses.via6)] | None = None
    target: Annotated[str, BeforeValidator(addresses.target)] | None = None
    target6: Annotated[str, BeforeValidator(addresses.target6)] | None = None
    targets: Annotated[
        list[Annotated[str, BeforeValidator(addresses.any_target)]], Field(max_length=TARGETS_MAX * 2)
    ] = []
    quorum: Annotated[int, quantities.integer(1, TARGETS_MAX)] | None = None
    source: Annotated[str, BeforeValidator(addresses.source)] | None = None
    source6: Annotated[str, BeforeValidator(addresses.source6)] | None = None
    method: Method | None = None
    interval: Interval | None = None
    standby_interval: Interval | None = None
    timeout: Timeout | None = None
    down_after: Patience | None = None
    port: Port | None = None
    get: Page | None = None
    expect: Annotated[int, quantities.integer(100, 599)] | None = None
    body: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    query: Query | None = None
    size: PayloadSize | None = None
    dscp: CodePoint | None = None
    key_file: FilePath | None = None
    budget: Rate | None = None
    capacity: Rate | None = None


class Pop(Table):
    name: Name
    region: Name = "default"
    tags: list[Name] = []
    bias: Annotated[float, quantities.milliseconds(0, 10)] = 0.0
    paths: list[Path | None]


class Uplink(Table):
    name: Device
    metered: bool | None = None
    price: Annotated[float, quantities.milliseconds(0, 10)] | None = None
    cap: Amount | None = None
    resets: ResetDay = FIRST
    hours: PartOfDay | None = None
    bias: Annotated[float, quantities.milliseconds(0, 10)] = 0.0


class Weights(Table):
    rtt: Weight = 1.0
    jitter: Weight = 1.0
    loss: Weight = 1.0
    bias: Weight = 1.0


class Policy(Table):
    name: Name
    prefixes: list[str | None] = []
    prefixes_file: FilePath | None = None
    excepted: Annotated[list[PrefixText], Field(alias="except")] = []
    pops: list[str] | None = None
    regions: list[Name] = []
    when_none: Literal["keep", "block"] = "keep"
    sources: Annotated[list[PrefixText], Field(alias="from")] = []
    iif: list[Device] = []
    fwmark: Annotated[tuple[int, int], BeforeValidator(marks.marked)] = (0, 0)
    own_traffic: bool = False
    objective: Literal["cost", "mos"] = "cost"
    codec: Literal["g711-plc", "g711", "g729a", "g723.1", "gsm-efr"] = "g711-plc"
    weights: Weights = Weights()
    prefer: dict[str, Annotated[float, quantities.milliseconds(0, 10)]] = {}
    min_dwell: Annotated[float, quantities.duration(0, 86400)] = 0.0
    spread: Annotated[int, quantities.integer(1, 8)] = 1
    spread_within: Annotated[float, quantities.milliseconds(0.001, 10)] = 50.0
    flows: Literal["auto", "pin", "client", "move"] = "auto"
    max_drain: Annotated[float, quantities.duration(0, 7 * 86400)] = 3600.0
    client_idle: Annotated[float, quantities.duration(10, 86400)] = 300.0
    leak_guard: bool | None = None
    service: Name | None = None


class Document(Table):
    """The whole file. An entry of `pop`, `paths`, `uplink`, `policy` or `hook` that had to be refused is None."""

    gateway: Gateway = Gateway()
    probe: Probe = Probe()
    score: Score = Score()
    steer: Steer = Steer()
    fleet: Fleet = Fleet()
    route: Route = Route()
    mqtt: Mqtt | None = None
    export: Export = Export()
    control: Control = Control()
    store: Store = Store()
    trace: Trace = Trace()
    pop: list[Pop | None] = []
    uplink: list[Uplink | None] = []
    policy: list[Policy | None] = []
    hook: list[Hook | None] = []


_TOP: tuple[type[Table], ...] = (
    *(Gateway, Probe, Score, Steer, Fleet, Route, Mqtt, Export, Control, Store, Trace),
    *(Pop, Uplink, Policy, Hook),
)
_TABLES = {table.__name__.lower(): table for table in _TOP} | {"pop.paths": Path, "policy.weights": Weights}
_HEADERS = {
    "pop": "[[pop]]",
    "uplink": "[[uplink]]",
    "policy": "[[policy]]",
    "hook": "[[hook]]",
    "pop.paths": "an entry of a PoP's paths",
    "policy.weights": "a policy's weights",
}
LAYOUT = Layout(Document, _TABLES, _HEADERS)
