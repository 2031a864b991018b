"""A course as SVG: what users wait over time, by rule, and what they would wait where the load would rest."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Final

from steerd.sim.fleet.course import Course, Rest

WIDTH, HEIGHT, LEFT, BELOW = 900, 360, 60, 30
COLOURS: Final = ("#1b6ca8", "#c0392b", "#d68910", "#7d3c98", "#148f77", "#717d7e", "#e377c2", "#8c564b", "#17becf")
POINTS: Final = 450
SHOWN: Final = 8


def svg(courses: Mapping[str, Course], rests: Sequence[Rest]) -> str:
    """The whole picture; latency on a logarithmic scale, since rules that run to and fro leave every other."""
    seconds = len(next(iter(courses.values())).mean)
    step = max(1, seconds // POINTS)
    lines = {
        name: [max(course.mean[at : at + step]) for at in range(0, seconds, step)] for name, course in courses.items()
    }
    least = min(rest.equilibrium for rest in rests) * 0.8
    most = max(max(line) for line in lines.values()) * 1.2
    scale = (HEIGHT - BELOW) / log10(most / least)

    def y(latency: float) -> float:
        return (HEIGHT - BELOW) - scale * log10(max(latency, least) / least)

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT) * second / seconds

    view = f'viewBox="0 0 {WIDTH} {HEIGHT + 20}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for power in range(7):
        for times in (1, 3):
            latency = times * 10.0**power
            if least < latency < most:
                parts.append(f'<path d="M{LEFT} {y(latency):.1f}H{WIDTH}" stroke="#ddd"/>')
                parts.append(f'<text x="4" y="{y(latency) + 4:.1f}">{latency:g} ms</text>')
    if len(rests) <= SHOWN:
        parts += [f'<text x="{x(rest.since):.0f}" y="{HEIGHT - 12}">{rest.since} s</text>' for rest in rests]
    ends = [*(rest.since for rest in rests[1:]), seconds]
    calm = " ".join(
        f"M{x(rest.since):.1f} {y(rest.equilibrium):.1f}H{x(end):.1f}" for rest, end in zip(rests, ends, strict=True)
    )
    for place, (name, line) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(f"{x(at * step):.1f},{y(latency):.1f}" for at, latency in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(f'<text x="{LEFT + 95 * place}" y="{HEIGHT + 10}" fill="{colour}">{escape(name)}</text>')
    parts.append(f'<path d="{calm}" fill="none" stroke="black" stroke-width="2" stroke-dasharray="4 3"/></svg>\n')
    return "\n".join(parts)
