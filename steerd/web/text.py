"""The Prometheus text format, 0.0.4: headers, labels, numbers."""

from collections.abc import Iterable
from math import inf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def header(name: str, kind: str, meaning: str) -> str:
    """The two lines that begin a family."""
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def labels(**values: str) -> str:
    """Labels with their values, as they stand between braces."""
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in values.items())


def further(label: str, values: Iterable[str]) -> tuple[str, ...]:
    """What one label more adds to others, for each of its values."""
    return tuple("," + labels(**{label: value}) for value in values)


def number(value: float | None) -> str:
    """A value; None, not known, is `NaN`."""
    if value is None or value != value:  # noqa: PLR0124 (NaN is what differs from itself)
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def line(name: str, inner: str, value: float | None) -> str:
    """A series with its value. ``inner``: its `labels`."""
    return f"{name}{{{inner}}} {number(value)}\n"


def lines(name: str, inner: str, more: Iterable[str], values: Iterable[float | None]) -> str:
    """The series of a family that have these labels, each with one of ``more``, with their values."""
    return "".join([line(name, inner + one, value) for one, value in zip(more, values, strict=True)])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
