"""The table of nftables that takes another's place, on a model of what the kernel takes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from steerd.route.nft import words
from steerd.route.nft.table import DYNAMIC, Name, Table, names

HOOK = "type filter hook forward priority filter + 5; policy accept;"


def table(*sets: str, maps: tuple[str, ...] = (), chains: tuple[str, ...] = ()) -> Table:
    """A chain that asks all of these, and one for each verdict."""
    asks = [f"ip daddr @{one} accept" for one in sets] + [f"ip daddr vmap @{one}" for one in maps]
    blocks = [words.block(f"set {one}", ["type ipv4_addr", "elements = { 10.0.0.1 }"]) for one in sets]
    blocks += [words.jumps_map(one, "ipv4_addr", {"10.0.0.1": f"to_{one}"}) for one in maps]
    blocks += [words.chain(f"to_{one}", ["drop"]) for one in maps]
    blocks += [words.chain(one, [HOOK, "accept"]) for one in chains]
    return Table.of("steerd", "ours", [*blocks, words.chain("guard", [HOOK, *asks])])


class Kernel:
    """What nftables does with a transaction: a rule or map names only what is there, and nothing goes that is named."""

    def __init__(self, first: Table) -> None:
        self.blocks = dict(zip([names(one)[0] for one in first.blocks], first.blocks, strict=True))
        self.first = dict(self.blocks)
        self.filled_before: set[Name] = set(self.blocks)

    def take(self, text: str) -> None:
        head, _, body = text.partition("table inet steerd {\n")
        for line in head.splitlines():
            verb, kind, _, _, name = line.split()
            assert (kind, name) in self.blocks, line
            if verb == "flush":
                self.blocks[kind, name] = self.blocks[kind, name].split("\n")[0] + "\n\t}"
            else:
                del self.blocks[kind, name]
                assert not self.named() & {name}, line
        for block in re.findall(r"^\t\w+ \S+ \{.*?^\t\}", body, re.MULTILINE | re.DOTALL):
            name = names(block)[0]
            if name in self.blocks and HOOK in block:
                # What is no base chain does not become one.
                assert HOOK in self.first[name]
            if name not in self.blocks or block.count("\n") > 1:
                self.blocks[name] = block
            self.first.setdefault(name, block)
        asked = {name for kind, name in self.blocks if name in self.named() and kind != "chain"}
        # What a rule asks was there, and filled, before this transaction.
        assert asked <= {name for _, name in self.filled_before}, text
        self.filled_before = set(self.blocks)
        assert self.named() <= {name for _, name in self.blocks}

    def named(self) -> set[str]:
        text = "\n".join(self.blocks.values())
        return set(re.findall(r"@(\w+)", text)) | set(re.findall(r"goto (\w+)", text))


NAMES = st.sets(st.sampled_from("abcdef"))
TABLES = st.builds(
    lambda sets, maps, chains: table(
        *(f"s{one}" for one in sets),
        maps=tuple(f"m{one}" for one in sorted(maps)),
        chains=tuple(f"c{one}" for one in sorted(chains)),
    ),
    NAMES.map(sorted),
    NAMES,
    NAMES,
)


@given(TABLES, TABLES, st.booleans())
def test_one_becomes_the_other(old: Table, new: Table, trusted: bool) -> None:
    kernel = Kernel(old)
    for text in new.changes(kernel.blocks, trusted=trusted):
        kernel.take(text)
    assert sorted(kernel.blocks.values()) == sorted(new.blocks)


@given(TABLES)
def test_what_is_in_a_set_is_put_right_unless_it_is_trusted(wanted: Table) -> None:
    kernel = Kernel(wanted)
    for kind, name in kernel.blocks:
        kernel.blocks[kind, name] = f"\t{kind} {name} {{\n\t\telements = {{ 6.6.6.6 }}\n\t}}"
    for text in wanted.changes(kernel.blocks):
        kernel.take(text)
    assert sorted(kernel.blocks.values()) == sorted(wanted.blocks)
    assert not any(" : " in text or "elements" in text for text in wanted.changes(kernel.blocks, trusted=True))


def test_what_packets_have_brought_into_a_set_stays() -> None:
    lines = ["type ipv4_addr", "size 16", DYNAMIC]
    (one, other) = (
        Table.of("steerd", "ours", [words.block("set clients", lines), words.chain("guard", [HOOK, rule])])
        for rule in ("ip saddr @clients accept", "ip saddr @clients drop")
    )
    kernel = Kernel(one)
    (known,) = (name for name in kernel.blocks if name[0] == "set")
    kernel.blocks[known] = filled = words.block(f"set {known[1]}", [*lines, "elements = { 10.0.0.1 timeout 5m }"])
    for table in (other, one, one):
        for text in table.changes(kernel.blocks):
            kernel.take(text)
        assert kernel.blocks[known] == filled


def test_another_content_is_another_set() -> None:
    one, other = (Table.of("t", "", [words.block("set s", [f"elements = {{ {n} }}"]), "@s"]) for n in (1, 2))
    assert one.blocks[0].split()[1] != other.blocks[0].split()[1]
    assert all(block.split()[1] == ask[1:] for block, ask, _ in (one.blocks, other.blocks))


def test_where_there_is_none_it_is_one_transaction() -> None:
    wanted = table("a")
    assert wanted.changes(()) == [wanted.whole]
    assert wanted.whole.startswith("add table inet steerd\ndelete table inet steerd\n")


def test_what_has_the_same_sets_is_one_transaction() -> None:
    old, new = table("a", chains=("x",)), table("a", chains=("y",))
    assert len(new.changes([names(one)[0] for one in old.blocks])) == 2  # x goes
    assert len(old.changes([names(one)[0] for one in old.blocks])) == 1


def test_its_version_is_told_by_what_stands_in_it() -> None:
    assert table("a").version == table("a").version != table("b").version


def test_a_device_may_be_called_like_a_set() -> None:
    blocks = [
        words.block("set s", ["elements = { 1 }"]),
        words.chain("c", ['oifname { "wg@0", "wg@s" } ip daddr @s accept']),
    ]
    rule = Table.of("t", "", blocks).blocks[1].splitlines()[1]
    assert rule.split("@s_")[0] == '\t\toifname { "wg@0", "wg@s" } ip daddr '
