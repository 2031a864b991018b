"""Our table in the kernel: put there by `nft`, and watched by the number of nftables' generations.

Each transaction of anybody's raises nftables' generation by one. A table that was right at a generation stays right
for that generation, so that a comparison costs one question. Synchronous; for one thread, but for `NftWatch`.
"""

import errno
import logging
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import PACKETS, RouteSettings
from steerd.net.netlink import NETLINK_NETFILTER, Connection, NetlinkError, attribute, attributes, frames
from steerd.net.notices import Notices
from steerd.route.nft.counted import Counted, counters, decode
from steerd.route.nft.foreign import HOOKS
from steerd.route.nft.program import EndlessError, find_nft, output
from steerd.route.nft.ruleset import COMMENT
from steerd.route.nft.table import DYNAMIC, Name, Table, names, removal

log = logging.getLogger(__name__)

_NOTICES = 7  # NFNLGRP_NFTABLES
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GET_TABLE, _GET_CHAIN, _GET_RULE = _SUBSYSTEM | 1, _SUBSYSTEM | 4, _SUBSYSTEM | 7
_GET_GENERATION, _GET_OBJECT = _SUBSYSTEM | 16, _SUBSYSTEM | 19
_HEADER = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg: family, version, resource
_INET_HEADER = struct.pack("=BBH", 1, 0, 0)  # NFPROTO_INET
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_RULE_TABLE = _OBJECT_TABLE = _CHAIN_TABLE = 1
_RULE_CHAIN = 2
_CHAIN_NAME = _OBJECT_TYPE = 3
_COUNTERS = struct.pack("!I", 1)  # NFT_OBJECT_COUNTER
_GENERATION_ID = 1
_COMMENT_TYPE = 0  # NFTNL_UDATA_TABLE_COMMENT

_NO_SUCH_TABLE = {errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL}
"""The latter two where the kernel has no nftables, or none for this family."""

_FAMILIES = {IPV4: ("ip", "inet", "netdev"), IPV6: ("ip6", "inet", "netdev")}
_HOOK_FAMILIES = {one for some in _FAMILIES.values() for one in some}
_HOOK = re.compile(r" hook (\w+) ")
_TABLE = re.compile(r"^table (\S+ \S+) \{", re.MULTILINE)
_REMEMBERED = re.compile(rf"({DYNAMIC}\n)\t\telements = \{{.*?\}}\n(?=\t\}})", re.DOTALL)
"""What packets have brought into a set: it changes by itself."""
_CHAINS = {3, 5}  # NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN

_TIMEOUT = 3.0
_SPEED = 200_000.0
"""Seconds that `nft` may take, and as many more as this makes of the bytes of the table: a switch may wait for it."""
_HUNG = 60.0
"""Seconds for which an `nft` that did not end is not run again."""
_ATTEMPTS = 5


class FirewallError(OSError):
    """`nft` is not installed, or refused its input; the message has its words."""


class Firewall(ExitStack):
    """One table of family inet. ``wanted`` is what `hold` was asked for last. ``listed``: what somebody changes in it
    is noticed; else only that it, or its version, is gone: for a table that decides nothing, and may be large."""

    def __init__(self, *, listed: bool = True) -> None:
        super().__init__()
        self._listed = listed
        self.program = find_nft()
        self.wanted: Table | None = None
        self._table = ""
        self._listing = ""
        self._generation = -1
        self._hung_until = 0.0
        self._puts = 0  # how often the table was put there: counters begin anew with each
        self._others: dict[str, str] = {}
        self._others_as_of = -2
        self._connection: Connection | None = None
        with suppress(OSError):
            self._connection = self.enter_context(Connection(NETLINK_NETFILTER))

    def refusal(self, text: str) -> str | None:
        """Why this kernel would not take a table, in the words of `nft`; None: it would. Changes nothing."""
        try:
            self._run("--check", "--file", "-", text=text)
        except FirewallError as error:
            return str(error)
        return None

    def hold(self, name: str, table: Table | None) -> bool:
        """Puts ``table`` in place; None: removes it. Returns whether somebody changed it. Raises `FirewallError`."""
        unchanged = (name, table) == (self._table, self.wanted)
        intact = name == self._table and self._is_as_it_was()
        if unchanged and intact:
            return False
        for _ in range(_ATTEMPTS):
            before = self._read_generation()
            transactions = self._put(name, table, intact)
            self._table, self.wanted = name, table
            self._listing = self._list() if table and self._listed else ""
            self._generation = self._read_generation()
            if self._generation == before + transactions:
                break
            # Somebody else changed nftables in between: what was read may be another's work.
            intact = False
        else:
            log.warning("nftables changes all the time: table inet %s may not be as it should be", name)
        return unchanged

    def owner(self, table: str) -> str | None:
        """The comment of the table of this name; None: there is no such table."""
        if self._connection is None:
            return None
        try:
            bodies = self._connection.ask(_GET_TABLE, _INET_HEADER + attribute(_TABLE_NAME, table.encode() + b"\0"))
        except NetlinkError as error:
            if error.errno in _NO_SUCH_TABLE:
                return None
            raise
        for kind, value in attributes(bodies[0], len(_HEADER)) if bodies else ():
            if kind == _TABLE_USERDATA and len(value) > 2 and value[0] == _COMMENT_TYPE:
                return value[2 : 2 + value[1]].rstrip(b"\0").decode(errors="replace")
        return ""

    def contents(self, table: str) -> list[Name] | None:
        """The chains, sets, maps and counters in the table of this name; None: there is none. Raises `OSError`."""
        if self.owner(table) is None:
            return None
        return names(self._run("--stateless", "--terse", "list", "table", "inet", table))

    def others(self, family: int) -> dict[str, str]:
        """The tables of others that have chains which forwarded packets of this family pass, as `nft` lists them, by
        what `nft` calls them; none where they could not be read. As of the last `look_at_others`."""
        return {table: text for table, text in self._others.items() if table.split()[0] in _FAMILIES[family]}

    def look_at_others(self) -> None:
        """Read them, if nftables has changed since."""
        try:
            if (generation := self._read_generation()) != self._others_as_of:
                self._others = {
                    table: self._run("--stateless", "--terse", "list", "table", *table.split())
                    for table in forwarding(self._run("list", "chains"))
                    if table not in (f"inet {self._table}", f"inet {self._table}{PACKETS}")
                }
                self._others_as_of = generation
        except OSError:
            self._others, self._others_as_of = {}, -2

    def counted(self, chains: Iterable[str]) -> Counted:
        """What the rules of these chains of our table have counted. Raises `NetlinkError`."""
        if self._connection is None or self.wanted is None:
            return Counted(self._puts, {})
        dump, table = self._connection.dump, _INET_HEADER + attribute(_RULE_TABLE, self._table.encode() + b"\0")
        asked = [table + attribute(_RULE_CHAIN, chain.encode() + b"\0") for chain in chains]
        return Counted(self._puts, decode(rule for one in asked for rule in dump(_GET_RULE, one)))

    def counters(self) -> dict[str, int]:
        """The packets that each counter of our table has seen, since it was made. Raises `NetlinkError`."""
        if self._connection is None or self.wanted is None:
            return {}
        table = attribute(_OBJECT_TABLE, self._table.encode() + b"\0") + attribute(_OBJECT_TYPE, _COUNTERS)
        return counters(self._connection.dump(_GET_OBJECT, _INET_HEADER + table))

    def _put(self, name: str, table: Table | None, intact: bool) -> int:
        """Returns in how many transactions. ``intact``: nobody changed what was put there last."""
        there = self.contents(name)
        if table is None:
            if there is None:
                return 0
            self._run("--file", "-", text=removal(name))
            return 1
        done = 0
        self._puts += 1
        try:
            for text in table.changes(there or (), trusted=intact):
                self._run("--file", "-", text=text)
                done += 1
        except FirewallError as error:
            if not there:
                raise
            # Somebody replaced a chain or set of ours with one of another kind.
            log.info("table inet %s cannot be changed (%s): replacing it", name, error)
            self._run("--file", "-", text=table.whole)
            done += 1
        return done

    def _is_as_it_was(self) -> bool:
        generation = self._read_generation()
        if generation == self._generation:
            return True
        if not self._listed:
            return self._has_version()
        if self._list() != self._listing or self._read_generation() != generation:
            return False
        self._generation = generation
        return True

    def _has_version(self) -> bool:
        if self._connection is None or self.wanted is None:
            return False
        table = attribute(_CHAIN_TABLE, self._table.encode() + b"\0")
        chain = attribute(_CHAIN_NAME, self.wanted.version.encode() + b"\0")
        try:
            return bool(self._connection.ask(_GET_CHAIN, _INET_HEADER + table + chain))
        except NetlinkError as error:
            if error.errno in _NO_SUCH_TABLE:
                return False
            raise

    def _list(self) -> str:
        if self.owner(self._table) is None:
            return ""
        return _REMEMBERED.sub(r"\1", self._run("--stateless", "list", "table", "inet", self._table))

    def _read_generation(self) -> int:
        if self._connection is None:
            return -1
        for body in self._connection.ask(_GET_GENERATION, _HEADER):
            for kind, value in attributes(body, len(_HEADER)):
                if kind == _GENERATION_ID:
                    return int.from_bytes(value)
        return -1

    def _run(self, *words: str, text: str = "") -> str:
        if self._connection is None:
            raise FirewallError("this kernel has no nftables")
        if self.program is None:
            raise FirewallError("nft is not installed (on Debian: the package nftables)")
        if time.monotonic() < self._hung_until:
            raise FirewallError("nft hangs: it is tried again once a minute")
        timeout = _TIMEOUT + max(len(text), len(self._listing)) / _SPEED
        try:
            code, printed, errors = output([self.program, *words], text.encode(), timeout)
        except (subprocess.TimeoutExpired, EndlessError) as error:
            self._hung_until = time.monotonic() + _HUNG
            endless = isinstance(error, EndlessError)
            what = "prints without end" if endless else f"did not end within {timeout:.0f} s"
            raise FirewallError(f"nft {what}") from error
        if code:
            said = (line for line in _text(errors).splitlines() if line.strip())
            raise FirewallError(f"nft: {next(said, 'failed without a word')}")
        return _text(printed)


def _text(output: bytes) -> str:
    """Names and comments are bytes: whoever made them chose which."""
    return output.decode(errors="backslashreplace")


class NftWatch(Notices):
    """``on_change()`` when a message names our table, when chains come and go, or messages were lost."""

    def __init__(self, table: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.retarget(table)
        super().__init__(NETLINK_NETFILTER, (_NOTICES,), self._heard, on_change)

    def retarget(self, table: str) -> None:
        """Our table has this name from now on."""
        self._name = table.encode() + b"\0"

    def _heard(self, datagram: bytes) -> None:
        # Every message about a table, or anything in it, has its name. Another's may contain it: one look too many.
        if self._name in datagram or any(kind & 0xFF in _CHAINS for kind, *_ in frames(datagram)):
            self._on_change()


def forwarding(chains: str) -> list[str]:
    """Of a listing of all chains the tables that have any in a hook that forwarded packets pass: ``inet filter``."""
    parts = _TABLE.split(chains)[1:]
    met = [table for table, text in zip(parts[::2], parts[1::2], strict=True) if set(_HOOK.findall(text)) & {*HOOKS}]
    return [table for table in met if table.split()[0] in _HOOK_FAMILIES]


def ours(firewall: Firewall, settings: RouteSettings, table: str | None = None) -> bool:
    """Whether there is a table of the settings' name, or this one, and it is ours."""
    owner = firewall.owner(table or settings.nft_table)
    return owner is not None and owner.startswith(f"{COMMENT}{settings.protocol},")


def collision(firewall: Firewall, settings: RouteSettings) -> str | None:
    """Why the table's name cannot be ours, or None."""
    owner = firewall.owner(settings.nft_table)
    if owner is None or ours(firewall, settings):
        return None
    whose = f"whose comment is '{owner}'" if owner else "without steerd's comment"
    return (
        f"there is a table inet {settings.nft_table} of nftables, {whose}, which is not steerd's "
        f"(protocol {settings.protocol}): choose another route.nft_table, or remove it"
    )
