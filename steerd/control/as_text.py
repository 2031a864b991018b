"""steerctl's answers as text."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from steerd.control.parts import observing, packets, probing, traces, uplinks
from steerd.control.parts.history import lines, when
from steerd.control.parts.tables import BAD, GOOD, SPARE, coloured_table
from steerd.status import catalogue
from steerd.text.lines import Coloured, fitting, printable, wrapped
from steerd.text.times import milliseconds, span

_MANY: Final = 20
"""Paths that a screen has room for."""
_MEASURED: Final = ("PATH", "STATE", ">RTT", ">JITTER", ">LOSS")


def status(
    answer: Mapping[str, Any], *, colour: bool | None = None, every: bool = False, width: int | None = None
) -> str:
    """Policies, paths and drains. A state that is not as it should be has a `!` before it. Where there are many paths,
    the scouts among them are summed up in a line for each policy, unless ``every`` path is asked for. In ``colour``;
    None: on a terminal, unless NO_COLOR (no-color.org) is set. ``width``: in so many columns, with what matters less
    left out or below; None: a terminal's, and else nothing is cut."""
    if "metrics" in answer:
        return str(answer["metrics"]).rstrip()
    if colour is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    many = len(answer["paths"]) > _MANY and not every
    paths = [one for one in answer["paths"] if not (many and one.get("scout"))]
    counted = any(one.get("packets") for one in answer["policies"])
    looks = bool(answer.get("observing"))
    added = ["GOES"] if looks else ["PACKETS"] if counted else []
    further = any(one.get("backbone_ms") for one in paths)
    said = ", only observes: nothing is steered, see `steerctl savings`" if looks else ""
    header = [*_MEASURED, *([">BACKBONE"] if further else []), ">COST", ">HEARD", "USED BY", "NOTE"]
    rows = [
        [
            one["path"],
            _mark(one["state"]),
            milliseconds(one["rtt_ms"]),
            milliseconds(one["jitter_ms"]),
            "-" if one["loss"] is None else f"{one['loss'] * 100:.1f} %",
            *([_cost(one.get("backbone_ms") or {})] if further else []),
            _cost(one["cost_ms"]),
            span(one["age_s"]),
            ",".join(one["used_by"]) or "-",
            _note(one),
        ]
        for one in paths
    ]
    narrow = width is not None and "NOTE" not in fitting(header, rows, width, SPARE)[0]
    parts = [
        printable(
            f"gateway {answer['gateway'] or '-'}, steerd {answer['version'] or '-'}, epoch {answer['epoch']}{said}"
        ),
        coloured_table(
            ["POLICY", "STATE", "WOULD USE" if looks else "CHOICE", *added, "RUNNER-UP", "SINCE", "RULE", "PIN"],
            [
                [
                    one["policy"],
                    _mark(one["state"]),
                    _choice(one),
                    *([observing.briefly(one)] if looks else [packets.shortly(one["packets"])] if counted else []),
                    one["runner_up"] or "-",
                    span(one["since_s"]),
                    _rule(one),
                    _pin(one["pin"]),
                ]
                for one in answer["policies"]
            ],
            colour=colour,
            width=width,
        ),
        coloured_table(header, rows, colour=colour, width=width),
        "\n".join(map(printable, _scouts(answer))) if many else "",
        coloured_table(uplinks.HEADER, uplinks.rows(answer.get("uplinks", ()), _mark), colour=colour, width=width),
    ]
    if answer["drains"]:
        rows = [[one["pop"], one["origin"], _left(one["left_s"])] for one in answer["drains"]]
        parts.append(coloured_table(["DRAINED", "BY", "LEFT"], rows, colour=colour, width=width))
    notes = [f"{one['path']}: {note}" for one in paths if (note := _note(one))] if narrow else []
    notes += [_reload(answer["reload"])] if answer.get("reload") else []
    notes += [catalogue.line(answer["catalogue"])] if answer.get("catalogue") else []
    notes += observing.notes(answer["policies"]) if looks else []
    notes += [f"! {remark}" for remark in answer.get("remarks", ())]
    notes += [f"! {one['policy']}: {one['error']}" for one in answer["policies"] if one["error"]]
    notes += uplinks.notes(answer)
    notes += [f"! {path['path']}: {said}" for path in answer["paths"] if path.get("black_hole") for said in _size(path)]
    notes += [note for path in answer["paths"] for note in probing.notes(path)]
    notes += [
        f"{path['staying']:,} connection{'' if path['staying'] == 1 else 's'} still on {path['path']}"
        for path in answer["paths"]
        if path.get("staying")
    ]
    if width is not None:
        notes = [line for note in notes for line in wrapped(note, width=width)]
    text = "\n\n".join(part for part in [*parts, "\n".join(map(printable, notes))] if part)
    return Coloured(text) if colour else text


def _rule(policy: Mapping[str, Any]) -> str:
    """The rule that is followed; of one that keeps no account there is nothing to tell but its name."""
    return str(policy["rule"]["leader"]) if policy.get("rule") else "threshold" if "rule" in policy else "-"


def _scouts(answer: Mapping[str, Any]) -> list[str]:
    """How many scouts each policy has, when they were looked at last, and what is wrong with them."""
    hidden = [one for one in answer["paths"] if one.get("scout")]
    if not hidden:
        return []
    lines = [
        f"{one['policy']}: {one['scouts']} of {one['paths']} paths are scouts{_looked_at(hidden)}"
        for one in answer["policies"]
        if one.get("scouts")
    ]
    return [*lines, f"{len(hidden)} scouts are not listed: --all lists them"]


def _looked_at(paths: Sequence[Mapping[str, Any]]) -> str:
    ages = [one["age_s"] for one in paths if one["age_s"] is not None]
    bad = sum(one["state"] in BAD for one in paths)
    heard = f", heard {span(min(ages))} to {span(max(ages))} ago" if ages else ""
    return heard + (f"; {bad} of them {'is' if bad == 1 else 'are'} down" if bad else "")


def _choice(policy: Mapping[str, Any]) -> str:
    shares = [f"{one['path']} {one['part'] * 100:.0f} %" for one in policy.get("shares", ())]
    return " + ".join(shares) or policy["choice"] or "-"


def why(answer: Mapping[str, Any], *, verbose: bool = False) -> str:
    """Each policy, or the one event, in words; ``verbose``: with every figure below them."""
    told = [answer["event"]] if answer.get("event") else answer["policies"]
    texts = []
    for one in told:
        details = one.get("details") if verbose else None
        texts.append("\n".join([*one["text"], "", *details] if details else one["text"]))
    return "\n\n".join(texts) or "There is no policy."


def history(answer: Mapping[str, Any]) -> str:
    """Switches, and below them all else that happened, in local time, each newest first."""
    switches = coloured_table(
        ["WHEN", "POLICY", "FROM", "TO", "REASON", "RULE", ">GAIN", "EVENT"],
        [
            [
                when(one["wall_ms"]),
                one["policy"],
                one["from"] or "-",
                one["to"] or "-",
                one["reason"]
                + (f" ({one['by']})" if one.get("by") not in {None, "operator"} else "")
                + (", on paper" if one.get("paper") else ""),
                one["rule"],
                milliseconds(one["gain_ms"]),
                one["event_id"],
            ]
            for one in answer["switches"]
        ],
    )
    return "\n\n".join(filter(None, [switches or "No switch.", "\n".join(lines(answer))]))


def connections(answer: Mapping[str, Any]) -> str:
    """Those of each path that has some, or that a policy uses."""
    if not any(one["ipv4"] or one["ipv6"] or one["inbound"] for one in answer["connections"]):
        return "no connection is pinned to a path"
    shown = [one for one in answer["connections"] if one["used_by"] or one["ipv4"] or one["ipv6"] or one["inbound"]]
    rows = [
        (one["path"], *(f"{one[kind]:,}" for kind in ("ipv4", "ipv6", "inbound")), ", ".join(one["used_by"]) or "-")
        for one in shown
    ]
    left = sum(one["ipv4"] + one["ipv6"] for one in shown if not one["used_by"])
    words = f"\n\n{left:,} on paths that no policy uses: they stay until they end, or their policy's max_drain is over"
    return coloured_table(("PATH", ">IPV4", ">IPV6", ">INBOUND", "USED BY"), rows) + (words if left else "")


def savings(answer: Mapping[str, Any]) -> str:
    """What steering would have saved."""
    return observing.text(answer)


def trace(answer: Mapping[str, Any]) -> str:
    """Each path that was traced."""
    return "\n\n".join("\n".join(traces.lines(record)) for record in answer["traces"])


def plan(answer: Mapping[str, Any], *, verbose: bool = False) -> str:
    """First it in short, then commands as they are, without nftables' tables unless ``verbose``; what else there is to
    say, in comments."""
    lines = list(answer["lines"] if verbose else _without_tables(answer["lines"]))
    lines = lines or ([] if answer.get("summary") else ["# the kernel already has all of it"])
    if left := answer["total"] - len(answer["lines"]):
        lines.append(f"# and {left} more: `steerd run --dry-run` prints all")
    return "\n".join(
        [
            *(f"# {line}" for line in answer.get("summary", ())),
            *lines,
            *(f"# {note}" for note in answer["notes"]),
        ]
    )


def _without_tables(lines: Iterable[str]) -> Iterator[str]:
    """In the place of what `nft` is given, how much that is."""
    hidden: int | None = None
    for line in lines:
        if line.startswith("nft --file -"):
            hidden = 0
        elif hidden is None:
            yield line
        elif line == "END":
            yield f"# nft --file - with {hidden} lines: -v prints them"
            hidden = None
        else:
            hidden += 1


def _reload(reload: Mapping[str, Any]) -> str:
    if reload["state"] == "unconfirmed":
        left = span(reload["left_s"])
        return f"! the last reload waits for `steerctl confirm`: {left} left, then it is taken back"
    if reload["state"] == "taken-back":
        return f"! the last reload was not confirmed, and was taken back {span(reload['ago_s'])} ago"
    return f"! the last reload was not confirmed, but could not be taken back: {'; '.join(reload['problems'])}"


def _mark(state: str) -> str:
    return f"{' ' if state in GOOD else '!'} {state}"


def _cost(costs: Mapping[str, float]) -> str:
    """One figure when all policies see the same cost."""
    distinct = sorted(set(costs.values()))
    if len(distinct) > 1:
        return "/".join(f"{cost:.1f}" for cost in distinct) + " ms"
    return milliseconds(distinct[0] if distinct else None)


def _note(path: Mapping[str, Any]) -> str:
    if path["state"] != "up":
        return str(path["reason"])
    said = ["scout"] if path.get("scout") else []
    said += [f"was down: ranks last for {span(path['hold_s'])}"] if path["hold_s"] else []
    under = path.get("underlay")
    below = [f"to {under['remote']} by {under['device'] or 'nothing'}"] if under else []
    return "; ".join([*_size(path), *said, *_tunnel(path), *below])


def _tunnel(path: Mapping[str, Any]) -> list[str]:
    tunnel = path.get("tunnel")
    if tunnel is None:
        return []
    return ["no handshake yet" if (age := tunnel["handshake_age_s"]) is None else f"handshake {span(age)} ago"]


def _size(path: Mapping[str, Any]) -> list[str]:
    """How large packets may be, if that is less than the device says."""
    mtu = path.get("mtu")
    if mtu is None or mtu >= path["device_mtu"]:
        return []
    return [f"MTU {mtu} of {path['device_mtu']}{': large packets vanish' if path['black_hole'] else ''}"]


def _pin(pin: Mapping[str, Any] | None) -> str:
    return "-" if pin is None else f"{pin['pop']}{' hard' if pin['hard'] else ''} {_left(pin['left_s'])}".rstrip()


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"for {span(seconds)}"
