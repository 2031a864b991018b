"""Tunnels whose own packets the configuration leads over an uplink: what that takes, and what is in its way. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from steerd.config.route_settings import Detour, RouteSettings
from steerd.core.settings import PathId
from steerd.route.around.gateways import Gateways
from steerd.route.model.numbers import priorities
from steerd.route.model.objects import Rule
from steerd.route.model.prefixes import FAMILIES


class Trouble(NamedTuple):
    """Why a path's tunnel goes as main leads it; ``cure``: what to do, or a command."""

    path: PathId
    why: str
    cure: str
    command: bool = True

    def __str__(self) -> str:
        return f"path {self.path}: {self.why}; {f'`{self.cure}`' if self.command else self.cure}"


def detours(
    settings: RouteSettings,
    known: Gateways,
    marks: Mapping[str, int],
    rules: Sequence[tuple[int, Rule]],
    strict: AbstractSet[str],
    silent: AbstractSet[str],
) -> tuple[tuple[Detour, ...], tuple[Trouble, ...]]:
    """``known``: the next hops of main's default routes; ``marks``: of WireGuard devices, as far as they are known;
    ``rules``: of everybody, by protocol; ``strict``: devices with ``rp_filter`` 1; ``silent``: whose mark will not be
    known."""
    found: dict[str, Detour] = {}
    troubles: list[Trouble] = []
    for path in settings.paths:
        over, table = path.over
        if not over or path.device in found:
            continue
        mark = marks.get(path.device)
        found[path.device] = Detour(table, mark)
        ways = tuple((family, over, way.via) for family in FAMILIES if (way := known.get((family, over))))
        not_led = f"{path.device} is not led over {over}:"
        if mark is None:
            if path.device in silent:
                why = f"{not_led} WireGuard does not tell its FwMark"
                troubles.append(Trouble(path.path, why, "take the key away, or have steerd read the device", False))
        elif wrong := next(_wrong(settings, path.device, mark, marks, rules), ""):
            cure = f"wg set {path.device} fwmark {_free(settings, marks):#x}"
            troubles.append(Trouble(path.path, f"{not_led} {wrong}", cure))
        elif not ways:
            why = f"{not_led} main has no default route by {over}"
            troubles.append(Trouble(path.path, why, "give it one, with any metric", False))
        elif over in strict:
            key = f"net.ipv4.conf.{over.replace('.', '/')}.rp_filter"  # as sysctl spells a dot within a name
            why = f"{not_led} rp_filter of {over} is in effect as 1 (strict), and drops what the far end sends"
            troubles.append(Trouble(path.path, why, f"sysctl -w {key}=2"))
        else:
            found[path.device] = Detour(table, mark, ways)
    return tuple(found.values()), tuple(troubles)


def _wrong(
    settings: RouteSettings, device: str, mark: int, marks: Mapping[str, int], rules: Sequence[tuple[int, Rule]]
) -> Iterator[str]:
    """What is wrong with the mark: it has to tell this device's packets from all others."""
    overs = {path.device: path.over[0] for path in settings.paths}
    alike = [one for one, its in marks.items() if its == mark and overs.get(one) != overs[device]]
    if not mark:
        yield "it has no FwMark"
    elif mark & settings.mark_mask:
        yield f"its FwMark {mark:#x} has bits of route.mark"
    elif mark == settings.bypass_mark:
        yield f"its FwMark {mark:#x} is route.bypass_mark"
    elif alike:
        yield f"{alike[0]} has its FwMark {mark:#x}, too"
    for protocol, rule in rules:
        ours = protocol == settings.protocol and rule.priority in priorities(settings)
        if mark and rule.mask and not rule.invert and not ours and mark & rule.mask == rule.mark:
            yield f"a rule of another, at priority {rule.priority}, is about its FwMark {mark:#x}"


def _free(settings: RouteSettings, marks: Mapping[str, int]) -> int:
    taken = {*marks.values(), settings.bypass_mark}
    return next(one for one in range(0x101, 1 << 32) if one not in taken and not one & settings.mark_mask)
