"""The agent's configuration file to its settings, or to the list of all that is wrong with it."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from steerd.config import mqtt, stamp_key
from steerd.config.agent.document import LAYOUT, Document, Link, Load
from steerd.config.agent.settings import AgentSettings, LoadSettings, ReflectSettings
from steerd.config.family import IPV4, IPV6
from steerd.config.file import files
from steerd.config.file import toml as read
from steerd.config.file.problem import ConfigError, Report
from steerd.config.methods import KEYS, METHODS
from steerd.config.probe_settings import HttpCheck, ProbePath, ProbeSettings, Target
from steerd.config.settings import ExportSettings
from steerd.config.values import addresses, names
from steerd.core.cost.backbone import LINKS_MAX
from steerd.core.settings import PathId

_SOURCES = ("command", "file", "interface", "prometheus")


def load(path: Path) -> AgentSettings:
    """Reads and checks the whole file. Relative paths in it are relative to its folder. ConfigError: every problem that
    could be found, at once."""
    report, folder = Report(path), path.parent
    raw = read.toml(path)
    report.tables = raw
    tables = read.document(raw, LAYOUT, report)
    mqtt.check(tables.mqtt, folder, report)
    if not raw.get("mqtt") and not report.touched("mqtt"):
        report.error("mqtt", None, "is missing: must say at which broker the PoP speaks, as [mqtt]")
    if tables.mqtt is not None and tables.mqtt.trusted_keys:
        report.error("mqtt.trusted_keys", None, "does nothing here: an agent takes no orders; must be left out")
    pop = _pop(tables, report)
    _load(tables, report)
    _links(tables, pop, folder, report)
    if tables.reflect is not None:
        stamp_key.check("reflect.key_file", tables.reflect.key_file, folder, report)
    if report.problems or tables.mqtt is None:
        raise ConfigError(report.problems)
    reflect = tables.reflect
    return AgentSettings(
        source=path,
        pop=pop,
        accepting=tables.agent.accepting,
        capacity=tables.agent.capacity,
        drain_for=tables.agent.drain_for,
        mqtt=mqtt.settings(tables.mqtt, pop, "default", folder),
        load=_load_settings(tables.load, tables.agent.capacity or 0.0, folder) if tables.load else None,
        links=ProbeSettings(
            tuple(_path(one, tables, folder) for one in tables.link if one is not None), tables.probe.interval
        ),
        half_life=tables.probe.half_life,
        reflect=ReflectSettings(
            listen=tuple(reflect.listen),
            key_file=files.located(reflect.key_file, folder),
            allow=tuple(reflect.allow),
            rate=reflect.rate,
        )
        if reflect
        else None,
        export=ExportSettings(*tables.export.listen) if tables.export else None,
        warnings=tuple(report.warnings),
    )


def _pop(tables: Document, report: Report) -> str:
    pop = tables.agent.pop or socket.gethostname()
    try:
        return names.name(pop)
    except ValueError as error:
        if not report.touched("agent"):
            report.error("agent.pop", pop, f"is the host name: {error}")
        return pop


def _load(tables: Document, report: Report) -> None:
    own = tables.load
    if own is None:
        return
    given = [key for key in _SOURCES if getattr(own, key) is not None]
    if len(given) != 1 and not report.touched("load"):
        report.error("load", " and ".join(given) or None, f"must have one of {', '.join(_SOURCES)}")
    if (own.prometheus is None) is not (own.query is None) and not report.touched("load"):
        report.error("load.query", own.query, "must come with prometheus, and prometheus with a query")
    if own.interface is not None and tables.agent.capacity is None and not report.touched("agent.capacity"):
        report.error("agent.capacity", None, "is missing: must say at which rate load.interface is full")


def _load_settings(own: Load, capacity: float, folder: Path) -> LoadSettings:
    return LoadSettings(
        interval=own.interval,
        timeout=own.timeout,
        command=tuple(own.command or ()),
        file=files.located(own.file, folder),
        interface=own.interface or "",
        capacity=capacity,
        url=own.prometheus or "",
        query=own.query or "",
    )


def _links(tables: Document, pop: str, folder: Path, report: Report) -> None:
    report.unique("link", (one.to if one else None for one in tables.link), "to")
    if len(tables.link) > LINKS_MAX:
        report.error("link", len(tables.link), f"must be at most {LINKS_MAX} links")
    for at, link in enumerate(tables.link):
        if link is None:
            continue
        key = f"link[{at}]"
        if link.to == pop:
            report.error(f"{key}.to", link.to, "is this PoP itself: must be another PoP, or a service")
        method = METHODS[link.method]
        for name in link.model_fields_set.intersection(KEYS):
            if not method.takes(name):
                unused = f'does nothing with method = "{link.method}": must be left out'
                report.error(f"{key}.{name}", getattr(link, name), unused)
        if method.gets and link.get is None and not report.touched(f"{key}.get"):
            report.error(f"{key}.get", None, f'must be given with method = "{link.method}"')
        stamp_key.check(f"{key}.key_file", link.key_file, folder, report)


def _path(link: Link, tables: Document, folder: Path) -> ProbePath:
    """A link as the prober sees it: by whichever way the routes lead."""
    family = IPV6 if ":" in link.target else IPV4
    address = link.target if addresses.is_address(link.target) else ""
    method = METHODS[link.method]
    parts = urlsplit(link.get or "")
    where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ProbePath(
        path=PathId(f"{link.to}/link"),
        pop=link.to,
        device="",
        mark=0,
        targets=(Target(family, address, None if address else link.target),),
        interval=tables.probe.interval,
        timeout=tables.probe.timeout,
        method=link.method,
        port=(link.port or parts.port or method.port) if method.port else 0,
        key_file=files.located(link.key_file, folder),
        check=HttpCheck(parts.netloc, where, link.expect or 204, (link.body or "").encode()) if link.get else None,
        query=link.query or "." if method.queries else "",
    )
