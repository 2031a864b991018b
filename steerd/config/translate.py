"""A checked document to the settings of each stage. Decides nothing about what is allowed."""

import os
from collections.abc import Sequence
from pathlib import Path

from steerd.config.document import Document, Mqtt
from steerd.config.numbering import number
from steerd.config.policies import CheckedPolicy
from steerd.config.pops import CheckedPath
from steerd.config.settings import (
    IPV4,
    IPV6,
    POLICY_TABLES,
    MqttSettings,
    OnStop,
    ProbePath,
    ProbeSettings,
    RoutePath,
    RoutePolicy,
    RouteSettings,
    Target,
)
from steerd.core.settings import (
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)

CREDENTIALS = "${CREDENTIALS_DIRECTORY}/"
"""The folder in which systemd puts a unit's credentials (LoadCredential=)."""


def capacity(mask: int) -> int:
    """How many paths have a mark of their own: all values of the mask's bits but 0, which is no mark."""
    return (1 << mask.bit_count()) - 1


def core(tables: Document, paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy]) -> Settings:
    ways = tuple(_path(tables, path) for path in paths)
    return Settings(
        paths=ways,
        policies=tuple(
            PolicySettings(PolicyId(policy.written.name), policy.forbidden, WhenNone(policy.written.when_none))
            for policy in policies
        ),
        rule=(
            RegretSettings(tables.steer.switch_price)
            if tables.steer.rule == "regret"
            else ThresholdSettings(tables.steer.margin, tables.steer.margin_ms, tables.steer.hold)
        ),
        round=min((min(way.interval, way.standby_interval) for way in ways), default=tables.probe.interval),
        half_life=tables.score.half_life,
        loss_penalty=tables.score.loss_penalty,
        jitter_weight=tables.score.jitter_weight,
        ignore_below=tables.steer.ignore_below,
    )


def _path(tables: Document, path: CheckedPath) -> PathSettings:
    own, default = path.written, tables.probe
    interval = _first(own.interval, default.interval)
    return PathSettings(
        path=path.path,
        pop=path.pop.name,
        uplink=own.uplink or path.path,
        bias=path.pop.bias,
        interval=interval,
        standby_interval=_first(own.standby_interval, default.standby_interval, interval),
        timeout=_first(own.timeout, default.timeout),
        down_after=_first(own.down_after, default.down_after),
        legs=len(_targets(path)),
    )


def _first(*choices: float | None) -> float:
    return next(choice for choice in choices if choice is not None)


def _targets(path: CheckedPath) -> tuple[Target, ...]:
    both = ((IPV4, path.written.target), (IPV6, path.written.target6))
    return tuple(Target(family, address) for family, address in both if address is not None)


def _marks(tables: Document, paths: Sequence[CheckedPath]) -> dict[str, int]:
    """A number from 1 for each path: what its mark and its table are made of."""
    numbers = number((path.path for path in paths), capacity(tables.route.mark))
    return {path: at + 1 for path, at in numbers.items()}


def probe(tables: Document, settings: Settings, paths: Sequence[CheckedPath]) -> ProbeSettings:
    marks, shift = _marks(tables, paths), _shift(tables)
    return ProbeSettings(
        paths=tuple(
            ProbePath(
                path=path.path,
                pop=path.pop.name,
                device=path.written.dev,
                mark=marks[path.path] << shift,
                targets=_targets(path),
                interval=way.interval,
                timeout=way.timeout,
                method=path.written.method or tables.probe.method,
            )
            for path, way in zip(paths, settings.paths, strict=True)
        ),
        grid=settings.round,
    )


def _shift(tables: Document) -> int:
    return (tables.route.mark & -tables.route.mark).bit_length() - 1


def route(tables: Document, paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy]) -> RouteSettings:
    own = tables.route
    marks, shift = _marks(tables, paths), _shift(tables)
    places = number((policy.written.name for policy in policies), POLICY_TABLES)
    return RouteSettings(
        protocol=own.protocol,
        table=own.table,
        rule_priority=own.rule_priority,
        nexthop_base=own.nexthop_base,
        mark_mask=own.mark,
        bypass_mark=own.bypass_mark,
        management=tuple(own.management),
        on_stop=OnStop(own.on_stop),
        paths=tuple(
            RoutePath(
                path=path.path,
                device=path.written.dev,
                via=path.written.via,
                via6=path.written.via6,
                families=path.families,
                uplink=path.written.uplink or path.path,
                mark=marks[path.path] << shift,
                table=own.table + POLICY_TABLES + marks[path.path],
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
                own_traffic=policy.written.own_traffic,
                when_none=WhenNone(policy.written.when_none),
            )
            for policy in policies
        ),
        nexthop_objects=own.nexthop_objects,
    )


def mqtt(written: Mqtt, gateway: str, region: str, folder: Path) -> MqttSettings:
    host, port, tls = written.url
    return MqttSettings(
        host=host,
        port=port,
        tls=tls,
        tenant=written.tenant,
        gateway=gateway,
        region=region,
        username=written.username,
        password_file=file(written.password_file, folder),
        ca=file(written.ca, folder),
        cert=file(written.cert, folder),
        key=file(written.key, folder),
        publish_interval=written.publish_interval,
    )


def file(written: str | None, folder: Path) -> Path | None:
    """Relative to the configuration's folder, or among the unit's credentials."""
    if written is None:
        return None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and written.startswith(CREDENTIALS):
        return Path(credentials) / written.removeprefix(CREDENTIALS)
    return folder / written
