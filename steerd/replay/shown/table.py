"""Outcomes as people read them: a table for each trace, and one for all of them together."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isnan, nan
from typing import Final

from steerd.replay.account.figures import P95, Figures, answered, figures, moves, nearest_rank
from steerd.replay.account.outcome import Outcome
from steerd.replay.account.price import FREE
from steerd.replay.shown.printed import elapsed, span, wall
from steerd.replay.trace.track import Choices
from steerd.text.lines import printable

SHOWN: Final = 20  # switches listed under a table; `--json` has all
HEAD: Final = ("RULE", "MEAN RTT", "P95 RTT", "LOST", "EXCESS", "SLOW", "SWITCHES/H")


def one(outcome: Outcome) -> str:
    """What a replay found, in a table with a line for each rule, and what was switched when."""
    account = outcome.account
    lines = [_about(outcome)]
    if account.samples <= FREE:
        lines.append(f"  too short to be priced: the first {FREE} samples are free")
    else:
        rows = []
        for name, choices in _rules(outcome).items():
            found = figures(account, choices, outcome.samples.seconds)
            scores = [account.score(choices, price) for price in outcome.prices]
            rows.append(_row(name, found, [(score.j, score.gap_left) for score in scores]))
        rows.append(_hindsight([account.score(outcome.choices, price).j_optimum for price in outcome.prices]))
        lines += _table(rows, outcome.prices)
    return "\n".join(lines)


def switches(outcome: Outcome) -> str:
    """The switches, one a line, with the time since the start; of many the first."""
    lines = []
    if outcome.adopted is not None:
        lines.append(f"  {'at start':>12}  on {printable(outcome.adopted)}, as the run before left it")
    if not outcome.switches:
        lines.append("  no switch")
    whole = outcome.samples.times[-1] - outcome.began if outcome.samples.times else 0.0
    for switch in outcome.switches[:SHOWN]:
        origin = "first" if switch["from"] is None else f"{printable(switch['from'])} ->"
        where = f"{printable(switch['policy'])}: " if "policy" in switch else ""
        to = "blocked" if switch["to"] is None else printable(switch["to"])
        when = f"{elapsed(switch['time_s'] - outcome.began, whole):>12}"
        if date := wall(switch["wall_ms"] / 1000.0 if "wall_ms" in switch else switch["time_s"]):
            when = f"{when}  {date}"
        lines.append(f"  {when}  {where}{origin} {to}  ({switch['reason']})")
    if len(outcome.switches) > SHOWN:
        lines.append(f"  and {len(outcome.switches) - SHOWN} more: --json has all")
    return "\n".join(lines)


@dataclass(slots=True)
class _Sum:
    rtts: "array[float]" = field(default_factory=lambda: array("f"))
    used: int = 0
    excess: float = 0.0
    slow: float = 0.0
    moves: int = 0
    paid: list[float] = field(default_factory=list)  # by price


class Total:
    """All traces together: every sample weighs the same, so J is their sum by the number of samples."""

    def __init__(self) -> None:
        self._prices: Sequence[float] = ()
        self._rules: dict[str, _Sum] = {}
        self._traces = self._samples = 0
        self._seconds = 0.0
        self._start: list[float] = []
        self._best: list[float] = []

    def add(self, outcome: Outcome) -> None:
        """One more trace; nothing if it was too short to be priced."""
        account = outcome.account
        counted = account.samples - FREE
        if counted <= 0:
            return
        self._traces += 1
        self._samples += counted
        self._seconds += outcome.samples.seconds
        self._prices = self._prices or outcome.prices
        for name, choices in _rules(outcome).items():
            total = self._rules.setdefault(name, _Sum())
            found = figures(account, choices, outcome.samples.seconds)
            got, used = answered(account, choices)
            total.rtts.extend(got)
            total.used += used
            total.excess += found.excess_ms * counted
            total.slow += found.slow_ratio * counted
            total.moves += moves(choices)
            total.paid = _plus(total.paid, [account.score(choices, price).j * counted for price in outcome.prices])
        scores = [account.score(outcome.choices, price) for price in outcome.prices]
        self._start = _plus(self._start, [score.j_start * counted for score in scores])
        self._best = _plus(self._best, [score.j_optimum * counted for score in scores])

    def __str__(self) -> str:
        if not self._traces:
            return "all: too short to be priced"
        rows = []
        for name, total in self._rules.items():
            gaps = [
                (paid / self._samples, (paid - best) / (start - best) if start > best else nan)
                for paid, start, best in zip(total.paid, self._start, self._best, strict=True)
            ]
            got = len(total.rtts)
            found = Figures(
                fsum(total.rtts) / got if got else nan,
                nearest_rank(total.rtts, P95),
                1.0 - got / total.used if total.used else nan,
                total.excess / self._samples,
                total.slow / self._samples,
                total.moves / self._seconds * 3600.0 if self._seconds else nan,
            )
            rows.append(_row(name, found, gaps))
        rows.append(_hindsight([best / self._samples for best in self._best]))
        head = f"all {self._traces} traces together: {self._samples + FREE * self._traces} samples"
        return "\n".join([head, *_table(rows, self._prices)])


def _rules(outcome: Outcome) -> Mapping[str, Choices]:
    return {f"{outcome.rule} (steerd)": outcome.choices, **outcome.baselines}


def _about(outcome: Outcome) -> str:
    paths = len(outcome.names)
    what = f"{outcome.rows} probes, {outcome.account.samples} samples of {paths} path{'s' * (paths != 1)}"
    samples = outcome.samples
    policy = f", policy {printable(outcome.more['policy'])}" if outcome.more.get("policy") else ""
    lines = [f"{printable(outcome.trace)}: {what} in {span(samples.seconds)}{policy}"]
    if samples.step is not None:
        lines.append(f"  paths were probed at different times: a sample is a step of {samples.step:.4g} s")
    if "probed" in outcome.more:
        probed = outcome.more["probed"]
        lines.append(f"  as probed: {probed['count']} of these probes ({100.0 * probed['ratio']:.1f} %) were fed")
    if samples.pauses:
        pauses = f"{samples.pauses} pause{'s' * (samples.pauses != 1)}"
        lines.append(f"  not counted: {pauses} without any row, {span(samples.paused)} in all")
    return "\n".join(lines)


def _row(name: str, found: Figures, scores: Sequence[tuple[float, float]]) -> list[str]:
    mean, p95, lost, excess, slow, per_hour = found
    cells = (_tenths(mean), _tenths(p95), _percent(lost), _tenths(excess), _percent(slow), _tenths(per_hour))
    return [name, *cells, *_prices(scores)]


def _hindsight(best: Sequence[float]) -> list[str]:
    return ["the best in hindsight", *("" for _ in HEAD[1:]), *_prices([(j, 0.0) for j in best])]


def _prices(scores: Sequence[tuple[float, float]]) -> Iterator[str]:
    for j, gap in scores:
        yield _tenths(j)
        yield "-" if isnan(gap) else f"{gap:.3f}"


def _table(rows: Sequence[Sequence[str]], prices: Sequence[float]) -> Iterator[str]:
    head = [*HEAD, *(cell for price in prices for cell in (f"J at {price:g}", "GAP LEFT"))]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        first, *others = (
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(["", first, *others]).rstrip()


def _tenths(value: float) -> str:
    return "-" if isnan(value) else f"{value:.1f}"


def _percent(ratio: float) -> str:
    return "-" if isnan(ratio) else f"{_tenths(100.0 * ratio)} %"


def _plus(totals: Sequence[float], more: Sequence[float]) -> list[float]:
    return [total + one for total, one in zip(totals or [0.0] * len(more), more, strict=True)]
