"""A checked document to the settings of each stage. Decides nothing about what is allowed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

from steerd.config.file.files import located
from steerd.config.gateway import probing
from steerd.config.gateway.document import Document, Fleet, Probe, Steer
from steerd.config.gateway.numbering import number
from steerd.config.gateway.policies import CheckedPolicy
from steerd.config.gateway.pops import CheckedPath, targets
from steerd.config.methods import METHODS
from steerd.config.prefixes import has_default, pack
from steerd.config.probe_settings import ProbePath, ProbeSettings, TunnelPath, TunnelSettings
from steerd.config.route_settings import (
    POLICY_TABLES,
    Actuator,
    Flows,
    Guard,
    OnStop,
    RoutePath,
    RoutePolicy,
    RouteSettings,
)
from steerd.core.settings import (
    Codec,
    Objective,
    PanelSettings,
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)

SPREAD_WITHIN: Final = 20.0
"""ms: of two paths, the one that is so much worse is taken by one in four gateways at a fail-over."""


def capacity(mask: int) -> int:
    """How many paths have a mark of their own: all values of the mask's bits but 0, which is no mark."""
    return (1 << mask.bit_count()) - 1


def core(tables: Document, paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy]) -> Settings:
    """What the engine is told."""
    ways = tuple(_path(tables, path) for path in paths)
    return Settings(
        paths=ways,
        policies=tuple(_policy(policy) for policy in policies),
        rule=_rule(tables.steer),
        round=min((min(way.interval, way.standby_interval) for way in ways), default=tables.probe.interval),
        half_life=tables.score.half_life,
        loss_penalty=tables.score.loss_penalty,
        load_penalty=tables.score.load_penalty,
        backbone_max=tables.fleet.backbone_max,
        jitter_weight=tables.score.jitter_weight,
        ignore_below=tables.steer.ignore_below,
        max_active=tables.probe.max_active,
        scout_interval=tables.probe.scout_interval,
        gate=tables.fleet.gate,
        failover_within=_failover_within(tables.fleet),
        # A path whose MTU is no longer tested must not cost for ever.
        mtu_penalty=tables.score.mtu_penalty if tables.probe.mtu_interval > 0.0 else 0.0,
    )


def _rule(steer: Steer) -> PanelSettings | RegretSettings | ThresholdSettings:
    if steer.rule == "threshold":
        return ThresholdSettings(steer.margin, steer.margin_ms, steer.hold)
    return RegretSettings(steer.switch_price) if steer.rule == "regret" else PanelSettings(steer.switch_price)


def _failover_within(fleet: Fleet) -> float:
    """In ms. A gateway that shares its PoPs parts from the others at a fail-over too, unless told not to."""
    if fleet.spread_within is None:
        return SPREAD_WITHIN if fleet.gate else 0.0
    return fleet.spread_within


def _policy(policy: CheckedPolicy) -> PolicySettings:
    own = policy.written
    return PolicySettings(
        policy=PolicyId(own.name),
        forbidden=policy.forbidden,
        when_none=WhenNone(own.when_none),
        objective=Objective(own.objective),
        codec=Codec(own.codec),
        rtt_weight=own.weights.rtt,
        jitter_weight=own.weights.jitter,
        loss_weight=own.weights.loss,
        bias_weight=own.weights.bias,
        preferred=policy.preferred,
        min_dwell=own.min_dwell,
        spread=own.spread,
        spread_within=own.spread_within,
        service=own.service or "",
        through=policy.through,
    )


def _path(tables: Document, path: CheckedPath) -> PathSettings:
    own, default = path.written, tables.probe
    interval = _first(own.interval, default.interval)
    return PathSettings(
        path=path.path,
        pop=path.pop.name,
        uplink=path.uplink,
        bias=path.pop.bias,
        interval=interval,
        standby_interval=_first(own.standby_interval, default.standby_interval, interval),
        timeout=_first(own.timeout, default.timeout),
        down_after=_first(own.down_after, default.down_after),
        legs=len(targets(path.written)),
        capacity=_first(own.capacity, 1.0),
        probed=_probed(tables.probe, path),
    )


def _probed(default: Probe, path: CheckedPath) -> str:
    """A name for what is probed and how, which tells the core nothing else."""
    own = path.written
    said: tuple[object, ...] = (
        own.dev,
        own.target,
        own.target6,
        probing.method(default, own),
        own.port or default.port,
    )
    said += (own.targets, own.quorum) if own.targets else ()
    said += tuple(asked for asked in (probing.page(default, own), probing.query(default, own)) if asked)
    return f"{crc32(repr(said).encode()):08x}"


def _first(*choices: float | None) -> float:
    return next(choice for choice in choices if choice is not None)


def _marks(tables: Document, paths: Sequence[CheckedPath]) -> dict[str, int]:
    """A number from 1 for each path, of which its mark and its table are made."""
    numbers = number((path.path for path in paths), capacity(tables.route.mark))
    return {path: at + 1 for path, at in numbers.items()}


def probe(tables: Document, settings: Settings, paths: Sequence[CheckedPath], folder: Path) -> ProbeSettings:
    """What the prober is told; ``settings`` are the engine's."""
    marks, shift = _marks(tables, paths), _shift(tables)
    budgets = probing.budgets(tables.probe, paths)
    return ProbeSettings(
        paths=tuple(
            _probe_path(tables.probe, path, way, marks[path.path] << shift, budgets[path.written.dev], folder)
            for path, way in zip(paths, settings.paths, strict=True)
        ),
        grid=settings.round,
        mtu_interval=tables.probe.mtu_interval,
    )


def _probe_path(
    default: Probe, path: CheckedPath, way: PathSettings, mark: int, budget: float | None, folder: Path
) -> ProbePath:
    own = path.written
    name = probing.method(default, own)
    method = METHODS[name]
    return ProbePath(
        path=path.path,
        pop=path.pop.name,
        device=own.dev,
        mark=mark,
        targets=probing.asked(path.written),
        interval=way.interval,
        timeout=way.timeout,
        method=name,
        port=probing.port(default, own),
        size=(own.size or default.size or 0) if method.takes("size") else 0,
        dscp=default.dscp if own.dscp is None else own.dscp,
        key_file=located(probing.key_file(default, own), folder),
        budget=budget,
        quorum=own.quorum or 0,
        check=probing.page(default, own),
        query=probing.query(default, own),
    )


def tunnel(tables: Document, paths: Sequence[CheckedPath]) -> TunnelSettings:
    """What the watch over tunnels is told."""
    return TunnelSettings(
        paths=tuple(
            TunnelPath(
                path=path.path,
                device=path.written.dev,
                peer=path.written.peer or "",
                targets=tuple(pack(target.address)[:-1] for target in probing.asked(path.written) if target.address),
                endpoint=path.written.endpoint,
            )
            for path in paths
        ),
        interval=tables.probe.wireguard_interval,
    )


def _shift(tables: Document) -> int:
    return (tables.route.mark & -tables.route.mark).bit_length() - 1


_BY_MAIN = "/"
"""What stands for `main` among paths' names: no path is called so."""


def _inbound_marks(tables: Document, marks: dict[str, int]) -> dict[str, int]:
    """As `_marks`, for connections that came in, by `main` first, while there are numbers."""
    most = capacity(tables.route.mark)
    names = [f"{path} inbound" for path in (_BY_MAIN, *sorted(marks))][: most - len(marks)]
    numbers = number(names, most, (mark - 1 for mark in marks.values()))
    return {name.removesuffix(" inbound"): at + 1 for name, at in numbers.items()}


def _guard(policy: CheckedPolicy) -> Guard:
    asked = policy.written.leak_guard
    if asked is not None:
        return Guard.ALWAYS if asked else Guard.OFF
    return Guard.USUAL if has_default(policy.prefixes) else Guard.OFF


def route(tables: Document, paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy]) -> RouteSettings:
    """What routing is told."""
    own = tables.route
    marks, shift = _marks(tables, paths), _shift(tables)
    inbound = _inbound_marks(tables, marks)
    everyone = frozenset(path.path for path in paths)
    places = number((policy.written.name for policy in policies), POLICY_TABLES)
    return RouteSettings(
        protocol=own.protocol,
        table=own.table,
        rule_priority=own.rule_priority,
        nexthop_base=own.nexthop_base,
        mark_mask=own.mark,
        bypass_mark=own.bypass_mark,
        main_mark=inbound.get(_BY_MAIN, 0) << shift,
        management=tuple(own.management),
        on_stop=OnStop(own.on_stop),
        paths=tuple(
            RoutePath(
                path=path.path,
                device=path.written.dev,
                via=path.written.via,
                via6=path.written.via6,
                families=path.families,
                uplink=path.uplink,
                mark=marks[path.path] << shift,
                table=own.table + POLICY_TABLES + marks[path.path],
                inbound_mark=inbound.get(path.path, 0) << shift,
                peer=path.written.peer or "",
                # The number of the other mark: what has that one goes by the path's table.
                over=(path.written.over or "", own.table + POLICY_TABLES + inbound.get(path.path, 0)),
            )
            for path in paths
        ),
        policies=tuple(
            RoutePolicy(
                policy=PolicyId(policy.written.name),
                table=own.table + places[policy.written.name],
                order=policy.order,
                prefixes=policy.prefixes,
                excepted=policy.excepted,
                sources=tuple(policy.written.sources),
                iifs=tuple(policy.written.iif),
                fwmark=policy.written.fwmark,
                own_traffic=policy.written.own_traffic,
                when_none=WhenNone(policy.written.when_none),
                guard=_guard(policy),
                # A connection goes where its prefix does: peers are told apart by destinations only.
                flows=Flows.MOVE if own.actuator == "wireguard" else Flows(policy.written.flows),
                max_drain=policy.written.max_drain,
                client_idle=policy.written.client_idle,
                allowed=everyone - {path for path, _reason in policy.forbidden},
                spread=policy.written.spread,
            )
            for policy in policies
        ),
        nexthop_objects=own.nexthop_objects,
        nft_table=own.nft_table,
        actuator=Actuator(own.actuator),
        clamp_mss=own.clamp_mss,
        count=own.count,
    )
