"""What the router asks for, carried out in the kernel. Synchronous: runs on one worker thread."""

import logging
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import inf
from threading import RLock

from steerd.config.route_settings import RouteSettings
from steerd.core.effects import Steer
from steerd.core.events import Installed, Link
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import WireGuardError
from steerd.route.conflicts.conflicts import Conflict
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import Seen, State
from steerd.route.nft.guard import ExtraDevices
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.account import Account, Result
from steerd.route.reconcile.convergence import Convergence, examined
from steerd.route.reconcile.obstacles import Obstacles
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.standing import Standing
from steerd.route.wanted.adopt import adopt
from steerd.route.wanted.choice import BLOCKED, Choice
from steerd.route.wanted.diff import Difference, difference, label, size
from steerd.route.wanted.present import Present
from steerd.route.wanted.selection import Selection

log = logging.getLogger(__name__)

_AGAIN = 5.0  # seconds until the kernel is asked again about what it does not do as it should


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings that nothing was found against, as of what was ``seen`` then, with these ``policies`` in place."""

    settings: RouteSettings
    selections: tuple[Selection, ...]
    seen: Seen
    policies: AbstractSet[PolicyId]


class Reconciler:
    """Owns the wanted state, ``standing``; ``account`` has what is said of it. ``retry_at`` is when to `repair` again
    if nothing is noticed, by the clock that `repair` is given. All is for one thread, but `protect`, which may wait for
    `nft`: it has another, so that no switch waits with it. Other settings wait for both."""

    def __init__(self, settings: RouteSettings, kernel: Kernel, protection: Protection, peers: Peers) -> None:
        self.standing = Standing(settings)
        self.retry_at = inf
        self._kernel = kernel
        self._protection = protection
        self._peers = peers
        self._convergence = Convergence(kernel, peers, protection.pins)
        self.account = Account(kernel, peers, Obstacles(kernel, protection))
        self._spent: list[RouteSettings] = []  # of which something may be left
        self._nft = RLock()
        self._guarded: ExtraDevices = {}  # the devices that our table lets through besides the policies' own

    @property
    def links(self) -> Mapping[PathId, Link]:
        """Whether packets can be routed to each path, as last read."""
        return self._convergence.links

    @property
    def counts(self) -> Mapping[tuple[PolicyId, int], int]:
        """Routes that lead on, by policy and family, as last read."""
        return self._convergence.counts

    @property
    def indexes(self) -> AbstractSet[int]:
        """The kernel's numbers of the paths' devices, as last read."""
        names = {path.device for path in self.standing.settings.paths}
        return {one.index for name, one in self._convergence.seen.devices.items() if name in names}

    def start(self, settings: RouteSettings) -> Result:
        """Checks, adopts, converges. Raises `RouteError`."""
        with self._nft:
            found = self._check(settings)
            adopted = self._peers.adopt(settings, adopt(settings, found.selections, found.seen.ours))
            self.standing = Standing(settings, found.selections, adopted.choices, adopted.strangers)
            self._convergence.adopt(found.seen, adopted.groups)
            self._protect(self.standing.extra_devices(), must=True)
            self._hold()  # completes what a former run half moved
            self._converge()
            self._protect(self.standing.extra_devices())
            return self._finish(everything=True)

    def steer(self, wanted: Steer) -> Installed:
        """Carries out a policy's choice. What the kernel refuses is told, not raised."""
        policy, choice = wanted.policy, Choice(wanted.best, wanted.runner_up, wanted.shares)
        if all(one.policy != policy for one in self.standing.settings.policies):
            return Installed(policy, None, None, f"no policy {policy} is configured")
        known = self.standing.named.keys()
        if choice.best is not None and choice.best not in known:
            return self._tell(policy, f"no path {choice.best} is configured")
        choice = choice.among(known)
        before = self.standing.choices
        self.standing = self.standing.choosing({policy: choice})
        try:
            self._hold()
            switched = self._convergence.switch(self.standing, policy) if policy in before else None
            if switched is None or switched.retired.keys() != self.standing.retired.keys():
                self.standing = switched or self.standing
                self._converge({policy: before[policy]} if policy in before else {})
            else:
                self.standing = switched
            found = self._convergence
            error = self.account.shortfall(self._present(), found.seen, found.refused, policy, choice)
            self._examine({policy})
        except OSError as failure:
            error = f"netlink: {failure}"
        return self._tell(policy, error)

    def repair(self, now: float, *, calm: bool = True, remover: int = 0) -> Result:
        """Reads everything again and puts right what is not as wanted. ``now`` in seconds; ``calm``: no device or
        address came or went since the last look; ``remover``: the netlink address of who last removed something, as far
        as known."""
        before, complete = self.links, not self._convergence.refused
        repairs: Counter[str] = Counter()
        moved = self._hold()
        # What goes with a device, and what the kernel refused until now, was removed by nobody: restored, not counted.
        self._convergence.conflict.look(now, blame=calm and complete)
        first = self._converge()
        if self.links == before and complete:
            for change in (*first.additions, *first.removals):
                repairs[label(change)] += size(change)
            repairs["allowedips"] += moved
        self._clear()
        result = self._finish(+repairs)
        self._convergence.conflict.report(remover)
        again = now + _AGAIN if self.account.wrong or self._spent else inf
        self.retry_at = min(self._convergence.conflict.deadline, again)
        return result

    @property
    def loose(self) -> bool:
        """Whether our table lets more through than it need: to be mended by `protect`. It never lets less through: a
        policy's own paths are always among its devices, so that no choice has to wait for it."""
        return self.standing.extra_devices() != self._guarded

    def protect(self, path: PathId | None = None, mtu: int = 0) -> bool:
        """Looks again, and restores our table: whether somebody changed it. ``path``, ``mtu``: `Protection.size`."""
        with self._nft:
            if path is not None:
                self._protection.size(path, mtu)
            return self._protect(self.standing.extra_devices())

    def table_changed(self, now: float) -> None:
        """Somebody had changed our table."""
        self._convergence.conflict.table_changed(self.standing.settings.nft_table, now)

    def observe(self, wrong: Mapping[PolicyId, str]) -> Result:
        """Takes up what is wrong with policies' packets, in words, and asks the kernel why."""
        self.account.observed = wrong
        return self._finish()

    def obstructed(self) -> bool:
        """Whether something else of others is in policies' way than at the last look at the kernel: then it is time for
        the next."""
        return self.account.obstructed(self._present(), self._convergence.seen, self._convergence.refused)

    def block(self) -> None:
        """Every packet that a policy is about meets its shadow."""
        self.standing = self.standing.choosing({one.policy: BLOCKED for one in self.standing.settings.policies})
        self._converge()

    # Other settings

    def prepare(self, settings: RouteSettings) -> Proposal:
        """Checks the settings against what there is: raises `RouteError`. Changes nothing."""
        with self._nft:
            found = self._check(settings)
            extra = self.standing.extra_devices(everything=True)
            try:
                self._protection.trial(self._protection.describe(settings, found.selections, found.seen.devices, extra))
            except OSError as error:
                raise RouteError(f"nftables: {error}") from error
            return found

    def take_up(self, proposal: Proposal) -> Result:
        """Additions first, then removals. Raises `OSError` or `RouteError` on a fault of the machine."""
        with self._nft:
            if proposal.policies != self.standing.choices.keys():
                # A policy got its first choice since: it has rules now, and a table of its own.
                proposal = self._check(proposal.settings)
            self._protect(self.standing.extra_devices(everything=True), proposal, must=True)
            return self._move(self.standing.under(proposal.settings, proposal.selections))

    def configure(self, settings: RouteSettings) -> Result:
        """Checks settings and takes them up. Raises `RouteError`, or `OSError`."""
        return self.take_up(self._check(settings))

    def undo(self, former: Standing, since: Standing) -> Result:
        """Restores what stood before other settings were taken up, but for what policies chose ``since``. Raises
        `OSError` if not all of it could be restored; it is wanted all the same."""
        with self._nft:
            standing = self.standing.back_to(former, since)
            self._protect(self.standing.extra_devices(everything=True), standing)
            return self._move(standing)

    def _move(self, standing: Standing) -> Result:
        self._spent.append(self.standing.settings)
        self.standing = standing
        self._peers.configure(standing.settings)
        self.account.keep({one.policy for one in standing.settings.policies})
        self._convergence.conflict = Conflict()  # under the former settings
        self._hold()
        self._converge()
        self._clear()
        self._protect(self.standing.extra_devices())
        return self._finish(everything=True)

    def _clear(self) -> None:
        """Removes what former settings left; what cannot be removed now is tried again with the next look."""
        try:
            while self._spent:
                self._remove_leftovers(self._spent[0], self.standing.settings)
                del self._spent[0]
        except OSError as error:
            log.warning("what former settings left cannot be removed yet: %s", error)
            self.retry_at = 0.0

    def _remove_leftovers(self, old: RouteSettings, new: RouteSettings) -> None:
        """Remove what the former settings' ranges hold outside of the present ones. Raises `OSError`."""
        if old.nft_table != new.nft_table:
            with self._nft:
                self._protection.remove(old.nft_table)
        try:
            self._peers.remove(old, but=self._peers.own)
        except WireGuardError as error:
            log.warning("AllowedIPs of the former settings cannot be removed: %s", error)
        if _ranges(old) == _ranges(new):
            return
        had, have = self._kernel.read(old).ours, self._kernel.read(new).ours
        same = old.protocol == new.protocol
        left = State(
            had.rules - have.rules if same else had.rules,
            {number: one for number, one in had.nexthops.items() if number not in have.nexthops},
            {number: one for number, one in had.groups.items() if number not in have.groups},
            {kind: packed for kind, packed in had.routes.items() if not same or kind not in have.routes},
        )
        self._kernel.apply(difference(left, State()).removals, old)

    # How it is done

    def _check(self, settings: RouteSettings) -> Proposal:
        seen, chosen = examined(self._kernel, settings)
        if not self._kernel.may_change(settings):
            raise RouteError("routes may not be changed here: steerd needs the capability CAP_NET_ADMIN")
        self._protection.check(settings)
        return Proposal(settings, chosen, seen, frozenset(self.standing.choices))

    def _protect(self, extra: ExtraDevices, under: Proposal | Standing | None = None, *, must: bool = False) -> bool:
        """``must``: raises `RouteError`. Else a failure is logged, and tried again with the next look."""
        under = under or self.standing
        seen = under.seen if isinstance(under, Proposal) else self._convergence.seen
        try:
            table = self._protection.describe(under.settings, under.selections, seen.devices, extra)
            changed = self._protection.hold(under.settings.nft_table, table)
        except OSError as error:
            if must:
                raise RouteError(f"nftables: {error}") from error
            log.error("nftables: %s", error)  # noqa: TRY400 (the message is nft's own; a traceback adds nothing)
            return False
        self._guarded = extra
        return changed

    def _hold(self) -> int:
        """Gives peers what their policies want, before any route leads there. Returns how much moved."""
        return self._peers.hold(self.standing.choices, self.standing.paths)

    def _converge(self, former: Mapping[PolicyId, Choice] | None = None) -> Difference:
        first, self.standing = self._convergence.converge(self.standing, former or {})
        return first

    def _finish(self, repairs: Mapping[str, int] | None = None, *, everything: bool = False) -> Result:
        """Asks where packets go."""
        self._examine()
        return Result(self.account.changed(self._present(), everything=everything), repairs or {})

    def _present(self) -> Present:
        return self._convergence.present(self.standing)

    def _examine(self, policies: AbstractSet[PolicyId] | None = None) -> None:
        self.account.examine(self._present(), self._convergence.seen, self._convergence.refused, policies)
        if self.account.wrong:
            self.retry_at = 0.0

    def _tell(self, policy: PolicyId, error: str | None = None) -> Installed:
        return self.account.tell(self._present(), policy, error)


def _ranges(settings: RouteSettings) -> tuple[int, ...]:
    return settings.table, settings.rule_priority, settings.nexthop_base, settings.protocol, settings.mark_mask
