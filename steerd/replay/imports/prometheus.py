"""What Prometheus answers to `/api/v1/query_range`: durations that blackbox_exporter or smokeping_prober measured.

Format: prometheus.io/docs/prometheus/latest/querying/api. Values are seconds. A step without a value, NaN, a duration
of 0 (which blackbox_exporter has for a phase that was not reached) or `probe_success` 0 at the same time is a lost
probe. `probe_duration_seconds` alone does not tell: of a failed probe it is the timeout.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from steerd.replay.imports.jsonstream import values
from steerd.replay.imports.sample import Malformed, Sample, brief, inside, milliseconds, moment, named, number
from steerd.replay.imports.text import Text

SUCCESS: Final = "probe_success"
ICMP: Final = "probe_icmp_duration_seconds"
WHOLE: Final = "probe_duration_seconds"
PREFERRED: Final = ("path", "instance", "target", "host", "ip", "pop", "job")
"""Labels that a path is called by: the first of these that tells all series apart."""


class _Series(NamedTuple):
    labels: dict[str, str]
    values: dict[float, float | None]  # seconds by time; None: NaN


def recognises(head: str) -> bool:
    begin = head.lstrip()
    return begin.startswith("{") and '"status"' in begin and '"data"' in begin and '"resultType"' in begin


def parse(text: Text, name: str) -> Iterator[Sample]:
    """The steps of each series, one or several answers on end; a series is a path, and called ``name`` if it has no
    label to go by. Raises `Malformed`: it is another answer, or of a metric that is no duration."""
    series = [one for line, value in values(text) for one in _series(value, line)]
    success = [one for one in series if one.labels.get("__name__") == SUCCESS]
    durations = [one for one in series if one.labels.get("__name__") != SUCCESS]
    icmp = [one for one in durations if one.labels.get("__name__") == ICMP]
    durations = [one for one in icmp if one.labels.get("phase", "rtt") == "rtt"] or [
        one for one in durations if one not in icmp
    ]
    if not durations:
        only = "only probe_success" if success else "no series"
        raise Malformed(0, f"has {only}: query a duration, such as {ICMP}" + '{phase="rtt"}')
    if not success and any(one.labels.get("__name__") == WHOLE for one in durations):
        raise Malformed(0, f"has {WHOLE} without {SUCCESS}, which tells which probes failed: query both")
    names = _names(durations, name)
    times = sorted({at for one in (*durations, *success) for at in one.values})
    for path, one in zip(names, durations, strict=True):
        failed = {at for other in success if _same(one, other) for at, value in other.values.items() if value == 0.0}
        since = min(one.values)
        for at in times:
            if at >= since:
                value = one.values.get(at)
                yield Sample(path, at, None if not value or at in failed else value * 1e3)


def _series(value: Any, line: int) -> Iterator[_Series]:
    data, error = inside(value, "data"), inside(value, "error")
    if not isinstance(data, dict):
        raise Malformed(line, f"Prometheus answered {brief(error)}" if error else "is no answer of Prometheus")
    if data.get("resultType") != "matrix":
        raise Malformed(line, f"is a {brief(data.get('resultType'))}: ask /api/v1/query_range, which answers a matrix")
    result = data.get("result")
    if not isinstance(result, list):
        raise Malformed(line, "is no answer of Prometheus: data.result is no list")
    for one in result:
        metric, points = inside(one, "metric"), inside(one, "values")
        if not isinstance(metric, dict) or not all(isinstance(label, str) for label in metric.values()):
            raise Malformed(line, "a series without labels")
        kind = metric.get("__name__")
        if kind is not None and kind != SUCCESS and not kind.endswith("_seconds"):
            raise Malformed(line, f"{brief(kind)} is no duration in seconds; of a histogram, query its mean")
        if not isinstance(points, list):
            raise Malformed(line, "a series without values (native histograms have none)")
        found = dict(_point(point, line) for point in points)
        if found:
            yield _Series(metric, found)


def _point(point: Any, line: int) -> tuple[float, float | None]:
    if not isinstance(point, list) or len(point) != 2:
        raise Malformed(line, f"{brief(point)} is no value at a time")
    at = moment(point[0], line)
    if point[1] in ("NaN", "+Inf", "-Inf"):
        return at, None
    milliseconds(point[1], line, unit=1e3)
    return at, number(point[1])


def _names(series: Sequence[_Series], name: str) -> list[str]:
    labels = [{key: value for key, value in one.labels.items() if key not in ("__name__", "phase")} for one in series]
    for label in PREFERRED:
        found = [one.get(label, "") for one in labels]
        if all(found) and len(set(found)) == len(found):
            return [named(one, 0) for one in found]
    differ = sorted({key for one in labels for key in one if len({other.get(key) for other in labels}) > 1})
    found = ["/".join(one[key] for key in differ if one.get(key)) for one in labels]
    if len(set(found)) < len(found):
        raise Malformed(0, "has two series with the same labels: query one metric")
    return [named(one or name, 0) for one in found]


def _same(duration: _Series, success: _Series) -> bool:
    """Whether they are of the same probe: all labels of the one that the other has too are the same."""
    theirs = success.labels
    return all(theirs.get(key, value) == value for key, value in duration.labels.items() if key != "__name__")
