"""A configuration file to the settings of every stage, or to the list of all that is wrong with it."""

import os
import socket
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from steerd.config import mqtt
from steerd.config.catalogue import entries
from steerd.config.catalogue import table as catalogue
from steerd.config.file import include
from steerd.config.file import toml as read
from steerd.config.file.problem import ConfigError, Problem, Report
from steerd.config.file.written import written
from steerd.config.gateway import actuator, hooks, over, policies, pops, probing, reserved, translate, uplinks
from steerd.config.gateway.document import LAYOUT, Document, Store
from steerd.config.settings import Config, ExportSettings, Tables
from steerd.config.values import names

_SOCKET_NAME = 107  # bytes that the kernel has room for in the name of a Unix socket


def load(path: Path, *, complete: bool = True, document: bytes | None = None) -> Config:
    """Reads and checks the whole file. Relative paths in it are relative to its folder. Not ``complete``: it need
    list neither PoPs nor policies (replay finds the paths in the trace). ``document``: the signed catalogue in force,
    in the place of the one that is kept. ConfigError: every problem that could be found, at once."""
    return _load(Report(path), None, document, complete=complete)


def with_catalogue(former: Config, document: bytes) -> Config:
    """The ``former`` configuration, as its files were when they were read, with the PoPs of another signed catalogue.
    ConfigError: they do not go together."""
    return _load(Report(former.source), former.tables, document, complete=True)


def load_for_guard(path: Path) -> tuple[Config, list[Problem]]:
    """As `load`, but included files and lists of prefixes that cannot be read now, or hold something else, are told
    beside it: policies with such a list count as if they were for all addresses. To be fenced in by, not to be steered
    by."""
    report = Report(path, tolerant=True)
    return _load(report, None, None, complete=True), report.missed


def _load(report: Report, tables: Tables | None, document: bytes | None, *, complete: bool) -> Config:
    try:
        return _checked(report, tables or _read(report), document, strict=tables is not None, complete=complete)
    except ConfigError:
        raise
    except Exception as error:  # whatever the file has done to us, it is refused
        words = f"cannot be understood: {type(error).__name__}: {error}"
        raise ConfigError([*report.problems, Problem(report.file, "", None, words)]) from error


def _read(report: Report) -> Tables:
    raw = include.included(read.toml(report.file), LAYOUT, report)
    return Tables(raw, report.origins)


def _checked(report: Report, own: Tables, document: bytes | None, *, strict: bool, complete: bool) -> Config:
    path, raw = report.file, _copied(own)
    report.origins = dict(own.origins)
    listed = entries.add(raw, report, path.parent / _store(raw), document, strict=strict)
    report.tables = raw
    tables = read.document(raw, LAYOUT, report)
    found = pops.check(tables, raw, report)
    partial = bool(report.missed) or (tables.catalogue is not None and listed is None)
    found = replace(found, partial=partial)  # in what is missing there may be any PoP
    probing.check(tables.probe, found.paths, path.parent, report)
    uplinks.check(tables, found, report)
    if complete and not report.missed:
        _emptiness(tables, raw, report, partial=partial)
    checked = policies.check(tables, found, path.parent, report)
    actuator.check(tables, found.paths, checked, report)
    over.check(tables, found.paths, report)
    _numbers(tables, len({way.path for way in found.paths}), report)
    _steer(tables, report)
    mqtt.check(tables.mqtt, path.parent, report)
    trusted, broker = entries.trusted(raw), tables.mqtt is not None
    catalogue.check(tables.catalogue, len(trusted), path.parent, report, broker=broker)
    hooks.check(tables, path.parent, report)
    gateway = _gateway(tables, report)
    control = path.parent / tables.control.socket
    if len(os.fsencode(control)) > _SOCKET_NAME:
        report.error("control.socket", str(control), f"must be at most {_SOCKET_NAME} bytes long")
    if report.problems:
        raise ConfigError(report.problems)
    core = translate.core(tables, found.paths, checked)
    probe = translate.probe(tables, core, found.paths, path.parent)
    probing.affordable(found.paths, probe.paths, report)
    return Config(
        source=path,
        gateway=gateway,
        region=tables.gateway.region,
        core=core,
        probe=probe,
        tunnel=translate.tunnel(tables, found.paths),
        route=translate.route(tables, found.paths, checked),
        mqtt=mqtt.settings(tables.mqtt, gateway, tables.gateway.region, path.parent) if tables.mqtt else None,
        export=ExportSettings(*tables.export.listen),
        control_socket=control,
        store_path=path.parent / tables.store.path,
        record=tables.store.record,
        observe=tables.gateway.observe,
        trace_after_switch=tables.trace.after_switch,
        warnings=tuple(report.warnings),
        hooks=hooks.settings(tables, path.parent),
        uplinks=tuple(uplinks.settings(tables)),
        written=written(raw),
        catalogue=catalogue.settings(tables.catalogue, trusted, path.parent, path.parent / tables.store.path)
        if tables.catalogue
        else None,
        listed=listed,
        tables=own,
    )


def _copied(own: Tables) -> dict[str, Any]:
    try:
        return deepcopy(dict(own.raw))
    except RecursionError:  # it is reported, and never taken up
        return dict(own.raw)


def _store(raw: dict[str, Any]) -> str:
    """Where the last good catalogue is kept, if that is written well."""
    own = raw.get("store")
    path = own.get("path") if isinstance(own, dict) else None
    return path if isinstance(path, str) and "\0" not in path else Store().path


def _emptiness(tables: Document, raw: dict[str, Any], report: Report, *, partial: bool) -> None:
    """A file that a power cut has emptied must not be taken for a wish to steer nothing: that is to be said."""
    only = tables.gateway.probe_only
    if not raw.get("policy") and not only and not report.touched("gateway"):
        meant = "[gateway] probe_only = true says that nothing is to be steered"
        meant += "" if raw else "; `steerd init` writes a first configuration"
        report.error("policy", None, f"is missing: must say what is steered, as [[policy]] ({meant})")
    elif raw.get("policy") and only:
        report.error("gateway.probe_only", True, "must be left out where there are policies")
    if raw.get("policy") and not raw.get("pop") and not partial:
        report.error("pop", None, "is missing: must list the PoPs that the policies steer to, as [[pop]]")
    elif only and not raw.get("pop"):
        report.warn("pop", "nothing is probed and nothing steered: there is no [[pop]] and no [[policy]]")


def _numbers(tables: Document, paths: int, report: Report) -> None:
    capacity = translate.capacity(tables.route.mark)
    if paths > capacity:
        bits = tables.route.mark.bit_count()
        allowed = f"has {bits} bits: at most {capacity} paths, and there are {paths}"
        report.error("route.mark", f"{tables.route.mark:#x}", allowed)
    reserved.check(tables.route, capacity, report)


def _steer(tables: Document, report: Report) -> None:
    idle = ("switch_price",) if tables.steer.rule == "threshold" else ("margin", "margin_ms", "hold")
    for key in idle:
        if key in tables.steer.model_fields_set:
            report.warn(f"steer.{key}", f'does nothing with rule = "{tables.steer.rule}"')


def _gateway(tables: Document, report: Report) -> str:
    name = tables.gateway.name or socket.gethostname()
    try:
        return names.name(name)
    except ValueError as error:
        if not report.touched("gateway"):
            report.error("gateway.name", name, f"is the host name: {error}")
        return name
