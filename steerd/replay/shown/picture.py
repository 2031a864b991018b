"""One replay as a picture: RTTs over time, what was lost, which path was in use, where and why it was switched.

SVG by hand: a drawing library would be the largest thing on a small gateway. Each pixel column shows the least and the
greatest RTT of its samples, so that a long trace makes no longer file and hides no spike.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from math import floor, inf, log10
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.account.figures import nearest_rank
from steerd.replay.account.outcome import Outcome
from steerd.replay.shown.printed import elapsed
from steerd.text.lines import printable

WIDTH: Final = 900  # columns of the plot
HEIGHT: Final = 300
LEFT: Final = 56
RIGHT: Final = 20
TOP: Final = 66
BAND: Final = 16
LANE: Final = 7
LABELS: Final = 12
"""With more switches than this only those get a label that were not for a better path."""

LABEL: Final = 7  # columns that a letter takes, at most
CLIPPED: Final = 0.995
"""RTTs above what this share does not exceed are drawn at the upper edge: one spike shall not flatten the rest."""

COLOURS: Final = ("#0f7fd6", "#e07b00", "#1a9c62", "#c2479b", "#8a6fdf", "#a0833c", "#d64545", "#2aa5b8")
"""Read on white and on near black, and apart from each other for the colour-blind as far as eight can be."""

PAPER: Final = "#ffffff"
INK: Final = "#1c2024"
SOFT: Final = "#687076"
LINE: Final = "#dfe3e6"

# Attributes alone: what converts SVG to other formats knows no style sheets, or no variables in them.
TEXT: Final = f'fill="{INK}"'
NOTE: Final = f'fill="{SOFT}" font-size="11"'
GRID: Final = f'stroke="{LINE}" stroke-width="1"'
CURVE: Final = 'fill="none" stroke-linejoin="round"'
LABELLED: Final = f'{TEXT} font-size="11" stroke="{PAPER}" stroke-width="4" paint-order="stroke"'
SWITCH: Final = f'stroke="{INK}" stroke-width="1" stroke-dasharray="2 3" stroke-opacity=".55"'
HIT: Final = 'stroke="#000000" stroke-opacity="0" stroke-width="7"'
"""Nothing to see, but wide enough for a pointer to find the tooltip."""


def picture(outcome: Outcome) -> str:
    """A replay as an SVG document."""
    return "\n".join(_Picture(outcome).lines())


class _Picture:
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._columns = outcome.account.columns
        self._names = {path: name for name, path in outcome.names.items()}
        self._colour = {path: COLOURS[n % len(COLOURS)] for n, path in enumerate(self._columns)}
        times = outcome.samples.times or [0.0]
        self._since = times[0]
        self._span = (times[-1] - times[0]) or 1.0
        self._pixels = [min(WIDTH - 1, int((time - self._since) / self._span * WIDTH)) for time in times]
        answered = [rtt for column in self._columns.values() for rtt in column if rtt is not None]
        self._highest = max(answered, default=1.0)
        top = min(self._highest, 1.15 * nearest_rank(answered, CLIPPED)) if answered else 1.0
        self._step = _nice(top / 5.0) if top > 0.0 else 1.0
        self._top = top or 1.0
        self._lossy = [path for path, column in self._columns.items() if None in column]

    def lines(self) -> Iterator[str]:
        band = TOP + HEIGHT + 8
        lanes = band + BAND + 6
        axis = lanes + LANE * len(self._lossy) + (6 if self._lossy else 0)
        width, height = LEFT + WIDTH + RIGHT, axis + 38
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" font-family="system-ui, sans-serif" font-size="12">'
        )
        yield f"<title>{_text(self._outcome.trace)}: RTT and path in use</title>"
        yield f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
        yield from self._head()
        yield from self._grid(axis)
        yield from self._curves()
        yield from self._in_use(band)
        yield from self._losses(lanes)
        yield from self._switches(band + BAND)
        yield "</svg>"

    def _head(self) -> Iterator[str]:
        switches = sum(1 for one in self._outcome.switches if one["from"] is not None)
        what = f"{self._outcome.rule}, {switches} switch{'es' * (switches != 1)}"
        yield f'<text {TEXT} x="{LEFT}" y="20"><tspan font-weight="600">{_text(self._outcome.trace[-90:])}</tspan>'
        yield f'<tspan fill="{SOFT}" dx="10">{what}</tspan></text>'
        x = LEFT
        for path, colour in self._colour.items():
            name = self._names.get(path, path)
            if x + 24 + 7 * len(name) > LEFT + WIDTH:
                yield f'<text x="{x}" y="40" fill="{SOFT}">...</text>'
                break
            yield f'<rect x="{x}" y="31" width="14" height="9" rx="2" fill="{colour}"/>'
            yield f'<text {TEXT} x="{x + 19}" y="40">{_text(name)}</text>'
            x += 36 + 7 * len(name)

    def _grid(self, axis: int) -> Iterator[str]:
        value = 0.0
        for _ in range(12):
            y = self._y(value)
            yield f'<path {GRID} d="M{LEFT} {y}h{WIDTH}"/>'
            yield f'<text {NOTE} x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">{value:g}</text>'
            value += self._step
            if value > self._top:
                break
        yield f'<text {NOTE} x="{LEFT - 6}" y="{TOP - 8}" text-anchor="end">ms</text>'
        if self._highest > self._top:
            note = f"cut off at {self._top:.0f} ms; the highest is {self._highest:.0f} ms"
            yield f'<text {NOTE} x="{LEFT + WIDTH}" y="{TOP - 8}" text-anchor="end">{note}</text>'
        unit, name = next((unit, name) for unit, name in UNITS if self._span >= 2.0 * unit or unit == 1.0)
        step = _nice(self._span / unit / 8.0)
        for n in range(20):
            at = n * step * unit
            if at > self._span:
                break
            x = LEFT + at / self._span * WIDTH
            yield f'<path {GRID} d="M{x:.1f} {TOP}V{axis}"/>'
            text = f"{n * step:g} {name}" if n == 0 else f"{n * step:g}"
            yield f'<text {NOTE} x="{x:.1f}" y="{axis + 15}" text-anchor="middle">{text}</text>'

    def _curves(self) -> Iterator[str]:
        """A stroke from the least to the greatest RTT of each column, joined; thicker while the path is in use."""
        used = self._used()
        for path, column in self._columns.items():
            low, high = [inf] * WIDTH, [-inf] * WIDTH
            for pixel, rtt in zip(self._pixels, column, strict=False):
                if rtt is not None:
                    low[pixel] = min(rtt, low[pixel])
                    high[pixel] = max(rtt, high[pixel])
            everywhere = [(x, low[x], high[x]) for x in range(WIDTH) if high[x] >= 0.0]
            own = [(x, least, most) for x, least, most in everywhere if used[x] == path]
            colour = f'stroke="{self._colour[path]}"'
            yield f'<path {CURVE} {colour} stroke-width="1.2" stroke-opacity=".5" d="{self._stroke(everywhere)}"/>'
            if own:
                yield f'<path {CURVE} {colour} stroke-width="2.2" d="{self._stroke(own)}"/>'

    def _stroke(self, points: Sequence[tuple[int, float, float]]) -> str:
        """Columns that are not neighbours are not joined, unless samples are that far apart anyway."""
        apart = max(2, 2 * WIDTH // max(1, len(self._pixels)))
        parts: list[str] = []
        before = -inf
        for x, least, most in points:
            joined = x - before <= apart
            y = self._y(most)
            parts.append(f"{'L' if parts and joined else 'M'}{LEFT + x} {y}")
            if (bottom := self._y(least)) != y:
                parts.append(f"V{bottom}")
            before = x
        return "".join(parts)

    def _used(self) -> list[PathId | None]:
        """Which path was in use in each column: for most of its samples."""
        spent: list[Counter[PathId | None]] = [Counter() for _ in range(WIDTH)]
        for path, begin, end in self._outcome.account.spans(self._outcome.choices, free=0):
            for pixel in self._pixels[begin:end]:
                spent[pixel][path] += 1
        used: list[PathId | None] = []
        for found in spent:
            used.append(max(found, key=found.__getitem__) if found else used[-1] if used else None)
        return used

    def _in_use(self, y: int) -> Iterator[str]:
        yield f'<text {NOTE} x="{LEFT - 6}" y="{y + 12}" text-anchor="end">in use</text>'
        used = self._used()
        begin = 0
        for x in range(1, WIDTH + 1):
            if x < WIDTH and used[x] == used[begin]:
                continue
            path = used[begin]
            if path is not None:
                name = _text(self._names.get(path, path))
                yield (
                    f'<rect x="{LEFT + begin}" y="{y}" width="{x - begin}" height="{BAND}" fill="{self._colour[path]}">'
                    f"<title>{name}</title></rect>"
                )
            begin = x

    def _losses(self, y: int) -> Iterator[str]:
        """A lane for each path that lost probes: the share of the column's probes that were lost, as opacity."""
        if self._lossy:
            yield f'<text {NOTE} x="{LEFT - 6}" y="{y + 7}" text-anchor="end">lost</text>'
        for n, path in enumerate(self._lossy):
            sent, lost = [0] * WIDTH, [0] * WIDTH
            for pixel, rtt in zip(self._pixels, self._columns[path], strict=False):
                sent[pixel] += 1
                lost[pixel] += rtt is None
            top = y + n * LANE
            for opacity in (0.45, 1.0):
                marks = [x for x in range(WIDTH) if lost[x] and (lost[x] > sent[x] / 2) == (opacity == 1.0)]
                if marks:
                    strokes = "".join(f"M{LEFT + x} {top}v{LANE - 2}" for x in marks)
                    style = f'stroke="{self._colour[path]}" stroke-opacity="{opacity}" stroke-width="1.5"'
                    yield f'<path {style} d="{strokes}"/>'

    def _switches(self, bottom: int) -> Iterator[str]:
        """A line for each switch; those of one column share it. Tooltips say why, and labels where there is room."""
        columns: dict[int, list[str]] = {}
        labels: dict[int, tuple[str, str]] = {}
        for switch in self._outcome.switches:
            if switch["from"] is None or switch.get("policy") != self._outcome.more.get("policy"):
                continue
            x = min(WIDTH - 1, max(0, int((switch["time_s"] - self._since) / self._span * WIDTH)))
            rule = f" ({switch['rule']})" if "rule" in switch else ""
            to = "blocked" if switch["to"] is None else switch["to"]
            when = elapsed(switch["time_s"] - self._outcome.began, self._span)
            told_of = f"{when}: {switch['from']} to {to}, {switch['reason']}{rule}"
            columns.setdefault(x, []).append(told_of)
            labels.setdefault(x, (switch["reason"], to))
        for x, told in columns.items():
            title = "\n".join([_text(one) for one in told[:8]] + [f"and {len(told) - 8} more"] * (len(told) > 8))
            line = f'd="M{LEFT + x} {TOP - 6}V{bottom}"'
            yield f"<g><title>{title}</title><path {HIT} {line}/><path {SWITCH} {line}/></g>"
        free = -inf
        for x, (reason, to) in labels.items():
            text = f"{reason}: {to}" if len(labels) <= LABELS else reason
            if x < free or x + LABEL * len(text) > WIDTH or (len(labels) > LABELS and reason == "better"):
                continue
            free = x + LABEL * len(text)
            yield f'<text {LABELLED} x="{LEFT + x + 4}" y="{TOP + 6}">{_text(text)}</text>'

    def _y(self, rtt: float) -> float:
        return round(TOP + HEIGHT * (1.0 - min(rtt, self._top) / self._top), 1)


def _text(text: str) -> str:
    """For XML, which cannot hold control characters even escaped."""
    return escape(printable(text))


UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def _nice(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten: steps that people count in."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * 0.999)
