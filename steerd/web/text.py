"""The Prometheus text format, 0.0.4: headers, labels, numbers."""

from collections.abc import Iterable
from math import inf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def header(name: str, kind: str, meaning: str) -> str:
    """The two lines that begin a family."""
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def series(name: str, **labels: str) -> str:
    """A series' line up to its value: made once, used at every scrape."""
    inner = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{inner}}} "


def number(value: float | None) -> str:
    """A value; None, not known, is `NaN`."""
    if value is None or value != value:  # noqa: PLR0124 (NaN is what differs from itself)
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def lines(prefixes: Iterable[str], values: Iterable[float | None]) -> str:
    """Series with their values."""
    return "".join([f"{prefix}{number(value)}\n" for prefix, value in zip(prefixes, values, strict=True)])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
