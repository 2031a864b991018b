"""How each path is probed: what its method takes, and whether the budget of its device pays for it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from steerd.config import stamp_key
from steerd.config.family import IPV4, IPV6
from steerd.config.file.problem import Report
from steerd.config.gateway.document import Path as WrittenPath
from steerd.config.gateway.document import Probe
from steerd.config.gateway.pops import CheckedPath, targets
from steerd.config.methods import KEYS, MAX_PAYLOAD, METHODS
from steerd.config.probe_settings import HttpCheck, ProbePath, Target, probe_bytes
from steerd.config.values import addresses
from steerd.text import rates
from steerd.text.durations import show

_TAKERS = {key: tuple(name for name, one in METHODS.items() if one.takes(key)) for key in KEYS}
"""Which methods a key applies to."""

_GET = '"http://connectivity.example/generate_204"'
_CANDIDATES_MIN = 3  # the choice, its runner-up, and one that may replace them
_PAYS = 0.999  # of what is needed: rates and intervals are rounded where they are written


def method(probe: Probe, path: WrittenPath) -> str:
    """By which the path is probed."""
    return path.method or probe.method


def key_file(probe: Probe, path: WrittenPath) -> str | None:
    """That of the path's probes, as it is written; None: they have none."""
    return (path.key_file or probe.key_file) if METHODS[method(probe, path)].takes("key_file") else None


def asked(path: WrittenPath) -> tuple[Target, ...]:
    """The path's targets, those of IPv4 first."""
    return tuple(
        Target(family, target, source=source)
        if addresses.is_address(target)
        else Target(family, "", name=target, source=source)
        for family, source in ((IPV4, path.source), (IPV6, path.source6))
        for _, target in targets(path).get(family, ())
    )


def page(probe: Probe, path: WrittenPath) -> HttpCheck | None:
    """What the path's target is asked for; None: its method asks for none."""
    got = path.get or probe.get
    if got is None or not METHODS[method(probe, path)].gets:
        return None
    parts = urlsplit(got)
    where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    expect, body = path.expect or probe.expect or 204, path.body or probe.body or ""
    return HttpCheck(parts.netloc, where, expect, body.encode())


def query(probe: Probe, path: WrittenPath) -> str:
    """What the path's target is asked to resolve; empty: its method asks for nothing."""
    return path.query or probe.query or "." if METHODS[method(probe, path)].queries else ""


def port(probe: Probe, path: WrittenPath) -> int:
    """Where the path's probes go; 0: the method knows no ports."""
    known = METHODS[method(probe, path)]
    if not known.port:
        return 0
    told = urlsplit(path.get or probe.get or "").port if known.gets else None
    return path.port or probe.port or told or known.port


def check(probe: Probe, paths: Sequence[CheckedPath], folder: Path, report: Report) -> None:
    """Each path's keys against its method, the defaults against the paths that take them, budget against budget."""
    decided = [path for path in paths if _decided(path, report)]
    for path in decided:
        _sources(path, report)
        own, used = path.written, method(probe, path.written)
        for name, takers in _TAKERS.items():
            if (given := getattr(own, name)) is not None and used not in takers:
                report.error(f"{path.key}.{name}", given, f'does nothing with method = "{used}": must be left out')
        refused = report.touched("probe.get") or report.touched(f"{path.key}.get")
        if METHODS[used].gets and not (own.get or probe.get or refused):
            report.error(f"{path.key}.get", None, f'must be given with method = "{used}", such as {_GET}')
        if own.size is not None and used in _TAKERS["size"] and (allowed := _refused(own.size, probe, own)):
            report.error(f"{path.key}.size", own.size, allowed)
        if used in _TAKERS["key_file"]:
            stamp_key.check(f"{path.key}.key_file", own.key_file, folder, report)
    if len(decided) == len(paths):
        _defaults(probe, paths, folder, report)
    _contradicted(paths, report)
    _scouts(probe, report)


def budgets(probe: Probe, paths: Sequence[CheckedPath]) -> dict[str, float | None]:
    """Bytes a second for the probes of each device together: a path's own key comes before the default."""
    own = {path.written.dev: rate for path, rate in _rationed(paths)}
    return {path.written.dev: own.get(path.written.dev, probe.budget) for path in paths}


def affordable(checked: Sequence[CheckedPath], paths: Sequence[ProbePath], report: Report) -> None:
    """Warns where a device's budget does not pay for its paths' intervals, all in use. `paths` are those `checked`."""
    places = {path.written.dev: f"{path.key}.budget" for path, _ in _rationed(checked)}
    devices: dict[str, list[ProbePath]] = {}
    for path in paths:
        devices.setdefault(path.device, []).append(path)
    for device, ways in devices.items():
        allowed = ways[0].budget
        rates_of: dict[int, float] = {}
        for path in ways:
            for target in path.targets:
                size = probe_bytes(path, target.family)
                rates_of[size] = rates_of.get(size, 0.0) + 1 / path.interval
        needed = sum(size * number for size, number in rates_of.items())
        if allowed is None or allowed >= needed * _PAYS:
            continue
        probes = " and ".join(
            f"{number:.3g} {'probe' if number == 1 else 'probes'} of {size} bytes"
            for size, number in sorted(rates_of.items())
        )
        intervals = sorted({path.interval for path in ways})
        instead = " or ".join(show(float(f"{interval * needed / allowed:.3g}")) for interval in intervals)
        limit = f"{rates.show(allowed)} allows each path one every {instead}"
        need = rates.show(float(f"{needed:.3g}"))
        report.warn(places.get(device, "probe.budget"), f"{probes} a second by {device} need {need}; {limit}")


def _decided(path: CheckedPath, report: Report) -> bool:
    """Whether the path's method is known: one that was refused must not make other keys wrong."""
    refused = report.touched(f"{path.key}.method")
    return not refused and (path.written.method is not None or not report.touched("probe.method"))


def _sources(path: CheckedPath, report: Report) -> None:
    for family, name, needs in ((IPV4, "source", "target"), (IPV6, "source6", "target6")):
        source = getattr(path.written, name)
        if source is not None and family not in targets(path.written) and not report.touched(f"{path.key}.{needs}"):
            report.error(f"{path.key}.{name}", source, f"must come with {needs}")


def _refused(size: int, probe: Probe, path: WrittenPath) -> str | None:
    """What is allowed instead, if this payload cannot be."""
    name = method(probe, path)
    known = METHODS[name]
    if not known.step:
        return None
    keyed = key_file(probe, path) is not None
    base = known.keyed_payload if keyed else known.payload
    if size == base or size >= base + known.step:
        return None
    usual = f'with method = "{name}"{" and a key_file" if keyed else ""}'
    return f"must be {base}, or from {base + known.step} to {MAX_PAYLOAD}, {usual}"


def _defaults(probe: Probe, paths: Sequence[CheckedPath], folder: Path, report: Report) -> None:
    if any(key_file(probe, path.written) == probe.key_file for path in paths):
        stamp_key.check("probe.key_file", probe.key_file, folder, report)
    for name, takers in _TAKERS.items():
        given = getattr(probe, name)
        if given is None:
            continue
        own = [path for path in paths if getattr(path.written, name) is None]
        using = [path for path in own if method(probe, path.written) in takers]
        if paths and not using:
            words = " or ".join(filter(None, (", ".join(takers[:-1]), takers[-1])))
            report.warn(f"probe.{name}", f"does nothing: no path is probed by {words} without a {name} of its own")
        methods = sorted({method(probe, path.written) for path in using})
        if name == "port" and len(methods) > 1:
            report.warn("probe.port", f"{given} is the port of paths probed by {' and by '.join(methods)}")
        if name == "size":
            for path in using:
                if allowed := _refused(given, probe, path.written):
                    report.error("probe.size", given, f"{allowed}, as path {path.path} has it")
                    break


def _scouts(probe: Probe, report: Report) -> None:
    if probe.max_active < _CANDIDATES_MIN:
        room = (
            f"{probe.max_active} is room for the choice and its runner-up alone: of more paths, no other is ever tried"
        )
        usual_room = f"{_CANDIDATES_MIN} or more, {Probe().max_active} by default"
        report.warn("probe.max_active", f"{room} while these two answer; {usual_room}")
    given = "interval" if probe.standby_interval is None else "standby_interval"
    usual = probe.interval if probe.standby_interval is None else probe.standby_interval
    if "scout_interval" in probe.model_fields_set and probe.scout_interval < usual:
        shorter = f"{show(probe.scout_interval)} is shorter than {given}"
        report.warn("probe.scout_interval", f"{shorter}: scouts are probed every {show(usual)} like others")


def _rationed(paths: Iterable[CheckedPath]) -> Iterator[tuple[CheckedPath, float]]:
    return ((path, path.written.budget) for path in paths if path.written.budget is not None)


def _contradicted(paths: Sequence[CheckedPath], report: Report) -> None:
    """A device has one budget, whichever of its paths names it."""
    first: dict[str, tuple[CheckedPath, float]] = {}
    for path, rate in _rationed(paths):
        other, limit = first.setdefault(path.written.dev, (path, rate))
        if rate != limit:
            said = report.told(f"{other.key}.budget")
            allowed = f"must be {rates.show(limit)}, as {said} says for the same device {path.written.dev}"
            report.error(f"{path.key}.budget", rates.show(rate), allowed)
