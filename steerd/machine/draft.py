"""The configuration that sets a gateway up by what it has: its text. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.settings import Config
from steerd.config.values import names
from steerd.machine.answers import Answers
from steerd.machine.ways import Way, Ways
from steerd.route.model.prefixes import FAMILIES
from steerd.text.lines import printable

_ALL: Final = {IPV4: "0.0.0.0/0", IPV6: "::/0"}
_COLUMN: Final = 36
_NAMED: Final = 4
_HEAD: Final = """\
# Written by `steerd init` from what this machine has. `steerd check --live` holds it against the machine, and
# `steerd run --observe` shows what it would do before it acts. docs/configuration.md explains every key.
# Nothing here tells where a PoP is (region, tags) or what its use costs you (bias)."""
_UPLINKS: Final = """\
# There is no tunnel, so each uplink counts as a PoP. The targets are public resolvers: addresses that matter to you
# tell more. What leaves by an uplink needs an address of it: masquerade by each of them."""


class Chosen(NamedTuple):
    """A way's targets, and what is to be said of them; empty: nothing."""

    targets: Sequence[str]
    remark: str = ""


_NONE: Final = Chosen((), "AllowedIPs, Address and DNS of it name no address that may answer. Write one that does.")


def tried(ways: Ways) -> str:
    """A file by which all targets that may be are probed; empty: there is none."""
    some = tuple(way for way in ways.found if way.targets)
    return text(ways._replace(found=some), {way.pop: Chosen(way.targets) for way in some}) if some else ""


def chosen(ways: Ways, config: Config, answers: Answers) -> dict[str, Chosen]:
    """Of what was `tried` what answered, as ``config`` had it: of a tunnel the likeliest of each family. Where nothing
    did, what may yet."""
    heard = {
        path.pop: {path.targets[place].address for place in answers.answered.get(path.path, ())}
        for path in config.probe.paths
    }
    return {way.pop: _chosen(way, heard.get(way.pop, set()), answers.refused) for way in ways.found if way.targets}


def _chosen(way: Way, heard: AbstractSet[str], refused: str) -> Chosen:
    found = [one for one in way.targets if one in heard]
    most = len(way.targets) if way.automatic else 1
    kept = [one for family in FAMILIES for one in _of(family, found or way.targets)[:most]]
    if found:
        return Chosen(kept)
    state = f", since {way.device} was not up" if not way.up else ""
    why = f": {refused}" if refused else state
    return Chosen(kept, f"No answer yet from {' or '.join(kept)} when this was written{why}.")


def text(ways: Ways, targets: Mapping[str, Chosen], session: str = "") -> str:
    """The file. ``session``: the address that whoever asks for it works from; empty: none. A way that has no
    ``targets`` gets one that `check` refuses."""
    blocks = [[_HEAD], _route(ways.found, session)]
    if any(way.automatic for way in ways.found):
        blocks.append([_UPLINKS])
    blocks += [_pop(way, targets.get(way.pop, _NONE)) for way in ways.found]
    blocks += _policies(ways)
    blocks.append([f"# Left out: {printable(one)}" for one in ways.left])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _route(used: Sequence[Way], session: str) -> list[str]:
    marks = sorted({way.mark for way in used})
    pairs, remarks = [], []
    if len(marks) == 1 and marks != [0]:
        note = "the tunnels' FwMark: their own outer packets are left alone"
        pairs.append(_noted(f'bypass_mark = "{marks[0]:#x}"', note))
    elif len(marks) > 1:
        listed = " and ".join(f"{mark:#x}" if mark else "none" for mark in marks[:_NAMED])
        remarks.append(
            f"# The tunnels have several FwMarks ({listed}). With one for all, bypass_mark in [route] can name"
        )
        remarks.append("# it: a policy that has own_traffic = true needs that.")
    if session:
        pairs.append(_noted(f"management = {_listed([session])}", "where this SSH session comes from: never steered"))
    return [*remarks, *(["[route]", *pairs] if pairs else [])]


def _noted(pair: str, note: str) -> str:
    return f"{pair:<{_COLUMN}}  # {note}"


def _pop(way: Way, picked: Chosen) -> list[str]:
    pairs = {"dev": way.device} if _named(way.device) else {"name": way.pop, "dev": way.device}
    if _named(way.uplink):
        pairs["uplink"] = way.uplink
    if way.endpoint:
        pairs["endpoint"] = way.endpoint
    if way.automatic:
        pairs |= {"via" if family == IPV4 else "via6": "auto" for family in way.families}
    four, six = (_of(family, picked.targets) for family in FAMILIES)
    if not four and not six:
        pairs["target" if IPV4 in way.families else "target6"] = f"AN ADDRESS BEHIND {way.device}"
    elif len(four) < 2 and len(six) < 2:
        pairs |= {key: one for key, some in (("target", four), ("target6", six)) for one in some}
    written = [f"{key} = {_quoted(value)}" for key, value in pairs.items()]
    if len(four) > 1 or len(six) > 1:
        written.append(f"targets = [\n  {', '.join(map(_quoted, picked.targets))},\n]")
    return [
        "[[pop]]",
        f"name = {_quoted(way.pop)}",
        *([f"# {printable(picked.remark)}"] if picked.remark else []),
        f"paths = [{{ {', '.join(written)} }}]",
    ]


def _named(device: str) -> bool:
    """Whether a path or an uplink can be called as a device is."""
    try:
        return bool(names.name(device))
    except ValueError:
        return False


def _policies(ways: Ways) -> Iterator[list[str]]:
    """One for both families, if all ways carry the same; else one for each, with the PoPs that carry it."""
    carrying = {family: [way.pop for way in ways.found if family in way.families] for family in FAMILIES}
    there = [family for family in FAMILIES if carrying[family]]
    same = len({tuple(carrying[family]) for family in there}) == 1
    for families in [there] if same else [[family] for family in there]:
        pops = carrying[families[0]]
        lines = [
            "[[policy]]",
            f'name = "{"default" if same else f"default-ipv{families[0]}"}"',
            f"prefixes = {_listed(_ALL[family] for family in families)}",
        ]
        if len(pops) < len(ways.found):
            lines.append(f"pops = {_listed(pops)}")
        if ways.inputs:
            lines.append(_noted(f"iif = {_listed(ways.inputs)}", "the LANs: what comes in elsewhere is left alone"))
        yield lines
    for family in sorted(one for one in ways.defaults if not carrying[one]):
        yield [
            f"# None of these carries IPv{family}: it goes by the main table, past all of them. With {_ALL[family]} in",
            "# prefixes it would be led into them, whatever becomes of it there.",
        ]


def _of(family: int, addresses: Iterable[str]) -> list[str]:
    return [one for one in addresses if ip_address(one).version == family]


def _listed(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
