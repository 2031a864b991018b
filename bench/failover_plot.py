"""The curve of `bench.failover` as SVG: fail-overs for what heals by itself against the time a dead path is kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from steerd.replay.shown.picture import COLOURS, GRID, NOTE, PAPER, SOFT, TEXT

Result = Mapping[str, Any]

WIDTH: Final = 700
HEIGHT: Final = 150
LEFT: Final = 52
RIGHT: Final = 24
TOP: Final = 34
GAP: Final = 62
"""Between the two panels: the upper one's axis, and the lower one's title."""

HEALTH, RULE, WORST = COLOURS[0], COLOURS[1], COLOURS[3]
LINE: Final = 'fill="none" stroke-width="2" stroke-linejoin="round"'


def plot(results: Sequence[Result]) -> str:
    """An SVG document: above, switches an hour for bursts that heal, stacked by who made them; below, the seconds until
    a dead path is left, median and worst. Across: ``down_after``."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Sequence[Result]) -> Iterator[str]:
    width, lower = LEFT + WIDTH + RIGHT, TOP + HEIGHT + GAP
    height = lower + HEIGHT + 40
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="12">'
    )
    yield "<title>What down_after costs and saves</title>"
    yield f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
    most = max(one["healed_down_per_hour"] + one["healed_better_per_hour"] for one in results)
    worst = max((one["left_worst_s"] or 0.0) for one in results)
    far = max(one["down_after_s"] for one in results) or 1.0
    yield from _panel(
        TOP,
        far,
        max(1.0, most),
        "switches an hour for bursts that heal by themselves",
        [("by health (down)", HEALTH), ("by the switch rule (better)", RULE)],
    )
    yield from _bars(results, far, max(1.0, most))
    yield from _panel(
        lower, far, max(1.0, worst), "seconds until a dead path is left", [("median", HEALTH), ("worst", WORST)]
    )
    for key, colour in (("left_worst_s", WORST), ("left_median_s", HEALTH)):
        points = [
            (_x(one["down_after_s"], far), _y(one[key], max(1.0, worst), lower), one[key])
            for one in results
            if one[key] is not None
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        yield f'<polyline {LINE} stroke="{colour}" points="{joined}"/>'
        for x, y, value in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{value:.1f} s</title></circle>'
    yield f'<text fill="{SOFT}" x="{LEFT + WIDTH / 2:g}" y="{height - 6}" text-anchor="middle">down_after</text>'
    yield "</svg>"


def _panel(top: float, far: float, most: float, title: str, legend: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f'<text {TEXT} x="{LEFT}" y="{top - 14:g}" font-weight="600">{title}</text>'
    x = LEFT + WIDTH - sum(30 + 7 * len(name) for name, _ in legend)
    for name, colour in legend:
        yield f'<rect x="{x}" y="{top - 23:g}" width="14" height="9" rx="2" fill="{colour}"/>'
        yield f'<text {TEXT} x="{x + 19}" y="{top - 14:g}">{name}</text>'
        x += 30 + 7 * len(name)
    for value in range(int(most) + 1):
        y = _y(value, most, top)
        yield f'<path {GRID} d="M{LEFT} {y:.1f}h{WIDTH}"/>'
        yield f'<text {NOTE} x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
    for value in range(int(far) + 1):
        x_text = f'x="{_x(value, far):.1f}" y="{top + HEIGHT + 17:g}"'
        yield f'<text {NOTE} {x_text} text-anchor="middle">{value} s</text>'


def _bars(results: Sequence[Result], far: float, most: float) -> Iterator[str]:
    for one in results:
        x, base = _x(one["down_after_s"], far) - 9.0, float(TOP + HEIGHT)
        for key, colour in (("healed_down_per_hour", HEALTH), ("healed_better_per_hour", RULE)):
            tall = HEIGHT * one[key] / most
            base -= tall
            if tall > 0.0:
                place = f'x="{x:.1f}" y="{base:.1f}" width="18" height="{tall:.1f}"'
                yield f'<rect {place} fill="{colour}"><title>{one[key]:.1f} an hour</title></rect>'


def _x(value: float, far: float) -> float:
    return LEFT + 20.0 + (WIDTH - 40.0) * value / far


def _y(value: float, most: float, top: float) -> float:
    return top + HEIGHT * (1.0 - value / most)
