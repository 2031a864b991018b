"""Counters of what policies' packets do: in a table of our own that decides nothing. Pure.

A packet is counted when it came in, after what others translate and mark; when it is about to leave, after all chains
that may drop it; and when it turns out to be for this machine. What came in and did neither went nowhere. Which policy
selects it is decided as in the guard, anew at each place: a packet has no room to remember it.

Each address is looked up once at each place, so what no policy is about is cut out of the ranges. Where there are too
many ranges for the processor's cache, or too many packets, one packet of `SAMPLE` is counted, and stands for as many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import PACKETS, RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range, flatten
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words
from steerd.route.nft.classify import MULTICAST, asks, merged, selected
from steerd.route.nft.guard import bridged
from steerd.route.nft.ruleset import COMMENT, Inputs, known
from steerd.route.nft.table import Table
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import Selection

MOST: Final = 120_000
"""Ranges: `nft` takes 150 MB for so many, beside what it may take for the guard at the same time."""
MOST_COUNTERS: Final = 10_000
"""Reading so many every few seconds takes 1 % of a core."""
FEW: Final = 2_000
SAMPLE: Final = 64
"""Ranges up to which every packet is counted; of more, one packet of so many is."""

CAME, HERE, LEFT, OWN = "came", "here", "left", "own"
"""What a counter counts: came in; was for this machine; leaves, forwarded; leaves, and began on the gateway itself."""

TRIAL: Final = (
    '\tcounter one {\n\t}\n\tmap ways {\n\t\ttype ifname : counter\n\t\telements = { * : "one" }\n\t}\n'
    "\tchain trial {\n\t\ttype filter hook forward priority filter + 1000;\n\t\tnumgen random mod 2 != 0 accept\n"
    "\t\toif 0 rt ip nexthop != 255.255.255.255 accept\n\t\tcounter name oifname map @ways\n\t}\n"
)
"""What a kernel and `nft` must take to count."""

_NO_NEXT_HOP: Final = {IPV4: "255.255.255.255", IPV6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
"""Which no route has: whatever has another has a route."""
_LAST: Final = "filter + 1000"
"""A priority behind whatever may drop or mark a packet, our own pins included."""


_ACCEPT: Final = "accept"
_CONTINUE: Final = "continue"
"""Verdicts for what no policy is about, and for what a policy leaves to others: names of policies are digests."""


class Cell(NamedTuple):
    """What a counter counts; ``device`` is empty for those that have no name of their own here."""

    policy: PolicyId
    family: int
    what: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class Counters:
    """The table, what its counters count, and how many packets each packet that they count stands for."""

    table: Table
    cells: Mapping[str, Cell]
    every: int


class TooManyError(ValueError):
    """There is more than can be counted in reasonable time; in words."""


def table_name(settings: RouteSettings) -> str:
    """What the table is called."""
    return settings.nft_table + PACKETS


def counters(
    settings: RouteSettings,
    selections: Sequence[Selection],
    inputs: Inputs,
    devices: Sequence[str],
    *,
    answers: bool,
    busy: bool = False,
) -> Counters | None:
    """``inputs.taken`` has what main's routes take altogether of all policies. ``devices``: those told apart. As for
    ``answers``, see `guard`. ``busy``: there are so many packets that some have to stand for all. None: there is no
    policy. Raises `TooManyError`."""
    asked = [(at, one, family) for at, one in enumerate(selections) for family in FAMILIES if asks(one, family)]
    names = {policy.policy: sha256(policy.policy.encode()).hexdigest()[:8] for policy in settings.policies}
    found: dict[tuple[int, int], dict[Range, str]] = {}
    whole: dict[tuple[int, int], RoutePolicy] = {}
    for at, selection, family in asked:
        found[at, family], one = _ranges(settings, selection, family, names)
        if one is not None:
            whole[at, family] = one
    if not (any(found.values()) or whole):
        return None
    alone = {family: _alone(settings, family, inputs) for family in FAMILIES}
    size = sum(map(len, found.values())) + sum(map(len, alone.values()))
    if size > MOST:
        raise TooManyError(f"policies and main have {size} ranges of addresses, {MOST} can be told apart")
    if (number := sum(len(one.policies) for _, one, _ in asked) * (len(devices) + 3)) > MOST_COUNTERS:
        raise TooManyError(f"policies and devices need {number} counters, {MOST_COUNTERS} are read in reasonable time")
    if size <= FEW:
        for key, ranges in found.items():
            rest = dict.fromkeys(alone[key[1]], _ACCEPT) if key in whole else {}
            found[key] = cut(ranges, alone[key[1]]) | rest
    sampled = busy or size > FEW
    text = _Text(settings, names, inputs, devices, sampled=sampled, many=size > FEW, answers=answers)
    for at, selection, family in asked:
        text.add(f"{at}_{family}", selection, family, found[at, family], whole.get((at, family)))
    comment = f"{COMMENT}{settings.protocol}, which counts packets here"
    table = Table.of(table_name(settings), comment, [*text.head(alone), *text.blocks, *text.hooks()])
    return Counters(table, text.cells, SAMPLE if sampled else 1)


class _Text:
    def __init__(
        self,
        settings: RouteSettings,
        names: Mapping[PolicyId, str],
        inputs: Inputs,
        devices: Sequence[str],
        *,
        sampled: bool,
        many: bool,
        answers: bool,
    ) -> None:
        self.cells: dict[str, Cell] = {}
        self.blocks: list[str] = []
        self._settings = settings
        self._names = names
        self._inputs = inputs
        self._devices = devices
        self._sampled = sampled
        self._many = many  # what is left alone is not cut out
        self._answers = answers
        self._rules: dict[str, list[str]] = {LEFT: [], OWN: []}

    def add(
        self, name: str, selection: Selection, family: int, ranges: Mapping[Range, str], whole: RoutePolicy | None
    ) -> None:
        """What one selection selects of a family. ``ranges``: of its policies; ``whole``: whose all the rest is."""
        mine = [one for one in selection.policies if one is whole or self._names[one.policy] in ranges.values()]
        if not mine:
            return
        what = OWN if selection.selectors.own else LEFT
        match, sets = selected(selection, family, f"from_{name}")
        self.blocks += sets
        verdicts = {self._names[one.policy]: f"goto {what}_{self._names[one.policy]}_{family}" for one in mine}
        targets = {where: verdicts.get(word, word) for where, word in sorted(ranges.items())}
        rest = None if whole is None else verdicts[self._names[whole.policy]]
        self.blocks.append(words.ranges_map(f"{what}_{name}", family, targets, rest))
        self._rules[what].append(f"{match} {words.PROTOCOL[family]} daddr vmap @{what}_{name}")
        for policy in mine:
            self._chains(what, policy, family)

    def _chains(self, what: str, policy: RoutePolicy, family: int) -> None:
        """Where a policy's packets of a family end: in their counters. The same chains at each place: before the kernel
        has looked for a route a packet has no next hop, and until it leaves no device to leave by."""
        name = f"{self._names[policy.policy]}_{family}"
        rules = [f"{words.PROTOCOL[family]} daddr @doubtful{family} accept"] if self._left(policy, family) else []
        if what == LEFT:
            came, here = (self._counter(f"{one}_{name}", policy, family, one) for one in (CAME, HERE))
            # One that has no more hops to go ends here, and is answered: a trace.
            hops = "ip ttl > 1" if family == IPV4 else "ip6 hoplimit > 1"
            routed = f"rt {words.PROTOCOL[family]} nexthop != {_NO_NEXT_HOP[family]}"
            self.blocks.append(words.chain(f"is_{here}", [f"{hops} counter name {here}"]))
            self.blocks.append(words.chain(f"has_{came}", [f"{routed} goto is_{here}", f"{hops} counter name {came}"]))
            rules.append(f"oif 0 goto has_{came}")
        self._map(f"{what}_{name}", policy, family, what)
        self.blocks.append(words.chain(f"{what}_{name}", [*rules, f"counter name oifname map @by_{what}_{name}"]))

    def _map(self, chain: str, policy: RoutePolicy, family: int, what: str) -> None:
        # The names of counters last as long as what they count: a changed table goes on counting.
        known = {
            device: self._counter(f"{chain}_{sha256(device.encode()).hexdigest()[:8]}", policy, family, what, device)
            for device in self._devices
        }
        other = self._counter(f"{chain}_other", policy, family, what)
        self.blocks.append(words.counters_map(f"by_{chain}", known, other))

    def _counter(self, name: str, policy: RoutePolicy, family: int, what: str, device: str = "") -> str:
        self.cells[name] = Cell(policy.policy, family, what, device)
        self.blocks.append(words.block(f"counter {name}", []))
        return name

    def _left(self, policy: RoutePolicy, family: int) -> bool:
        """Whether this policy's packets may go by the routes that take all of another's."""
        taken = self._inputs.taken
        return (policy.policy, family) not in taken and any(one == family for _, one in taken)

    def head(self, alone: Mapping[int, Sequence[Range]]) -> Iterator[str]:
        """The sets that more than one chain asks."""
        for family in FAMILIES:
            if self._many:
                yield words.ranges_set(f"alone{family}", family, alone[family])
            if any(one == family for _, one in self._inputs.taken):
                doubtful = merged(family, prefixes.of_family(self._inputs.doubtful, family))
                yield words.ranges_set(f"doubtful{family}", family, doubtful)

    def hooks(self) -> Iterator[str]:
        """The base chains."""
        settings, bridges = self._settings, self._inputs.bridges
        first = [f"numgen random mod {SAMPLE} != 0 accept"] if self._sampled else []
        if settings.bypass_mark:
            first.append(f"meta mark {settings.bypass_mark:#x} accept")
        marked = f"meta mark and {settings.mark_mask:#x}"
        if settings.pins and settings.main_mark:
            first.append(f"{marked} == {settings.main_mark:#x} accept")
        if self._answers:
            first.append(f"ct direction reply ct mark and {settings.mark_mask:#x} != 0 accept")
        alone = [f"{words.PROTOCOL[one]} daddr @alone{one} accept" for one in FAMILIES] if self._many else []
        passed = [
            line.replace(f'oifname "{bridge}" ', "")
            for bridge in bridges
            for line in bridged({bridge: bridges[bridge]})
        ]
        for name, hook, priority, before, what in (
            ("coming", "prerouting", _LAST, passed, LEFT),
            ("leaving", "forward", _LAST, bridged(bridges), LEFT),
            ("staying", "input", "filter - 5", (), LEFT),
            # Probes, and what of the gateway's own is pinned, are marked.
            ("sending", "output", _LAST, (f"{marked} != 0 accept", 'oifname "lo" accept'), OWN),
        ):
            if rules := self._rules[what]:
                base = f"type filter hook {hook} priority {priority}; policy accept;"
                yield words.chain(name, [base, *first, *before, *alone, *rules])


def _ranges(
    settings: RouteSettings, selection: Selection, family: int, names: Mapping[PolicyId, str]
) -> tuple[dict[Range, str], RoutePolicy | None]:
    """What each address comes to, but for those of the policy that has all the rest, if there is one: between 100,000
    prefixes are as many gaps."""
    management = prefixes.pack(family, settings.management)
    default = prefixes.DEFAULT[family]
    mine = [(one, steered(one, family, management)) for one in selection.policies]
    whole = next((one for one, packed in mine if prefixes.holds(family, packed, default)), None)
    entries: list[tuple[bytes, str | None]] = [
        (entry, names[one.policy])
        for one, packed in mine
        for entry in prefixes.split(family, packed)
        if one is not whole or entry != default
    ]
    for one in selection.policies:
        excepted = prefixes.of_family(one.excepted, family)
        entries += [(entry, None if whole is None else _CONTINUE) for entry in prefixes.split(family, excepted)]
    return flatten(family, entries), whole


def _alone(settings: RouteSettings, family: int, inputs: Inputs) -> list[Range]:
    """The addresses whose packets no policy is about, as `left_alone` has it."""
    fixed = prefixes.union(
        family, prefixes.pack(family, [MULTICAST[family]]), prefixes.pack(family, settings.management)
    )
    ranges: list[Range] = []
    for one in sorted([*known(family, inputs), *merged(family, fixed)]):
        if ranges and one.first <= ranges[-1].last + 1:
            ranges[-1] = Range(ranges[-1].first, max(one.last, ranges[-1].last))
        else:
            ranges.append(one)
    return ranges


def cut(found: Mapping[Range, str], holes: Sequence[Range]) -> dict[Range, str]:
    """The ranges without the holes; both in order, and neither with two that meet."""
    left: dict[Range, str] = {}
    at = 0
    for one, target in found.items():
        first = one.first
        while at < len(holes) and holes[at].last < first:
            at += 1
        here = at
        while here < len(holes) and holes[here].first <= one.last:
            if first < holes[here].first:
                left[Range(first, holes[here].first - 1)] = target
            first = max(first, holes[here].last + 1)
            here += 1
        if first <= one.last:
            left[Range(first, one.last)] = target
    return left
