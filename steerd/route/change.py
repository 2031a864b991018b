"""Other settings for routing: prepared, then committed or aborted (`steerd.config.change`)."""

import logging

from steerd.config.route_settings import RouteSettings
from steerd.core.events import Installed
from steerd.route.claim import Claim
from steerd.route.error import RouteError
from steerd.route.reconcile.reconciler import Proposal
from steerd.route.reconcile.standing import Standing
from steerd.route.upkeep import Upkeep

log = logging.getLogger(__name__)


class RouteChange:
    """A `StageChange` of routing. ``installed`` is what the kernel carries out for each policy, once committed. Until
    the commit the kernel is unchanged and no turn is held: policies are steered, and repaired, under the settings in
    force. Its numbers stay claimed until the next change is prepared, which makes this one void: committing it is an
    error then, and aborting it does nothing."""

    def __init__(self, settings: RouteSettings, proposal: Proposal, claim: Claim, upkeep: Upkeep) -> None:
        """``settings`` as configured, and claimed; ``proposal`` has them with the gateways that main names."""
        self.installed: tuple[Installed, ...] = ()
        self._settings = settings
        self._proposal: Proposal | None = proposal
        self._claim = claim
        self._upkeep = upkeep
        self._reconciler = upkeep.reconciler
        self._void = False
        self._former: tuple[RouteSettings, Standing] | None = None

    def expire(self) -> None:
        """Another change was prepared, or routing ends."""
        self._void = True

    async def commit(self) -> None:
        """Take the settings up: additions first, then removals; `Router.links` has all of them then, without
        ``on_link`` having been called. Raises `RouteError`: only on a fault of the machine, or when it is void."""
        async with self._upkeep.worker.turn:
            proposal, self._proposal = self._proposal, None
            if self._void or proposal is None:
                raise RouteError("this change of routing was committed before, or another took its place")
            self._former = self._upkeep.settings, self._reconciler.standing
            try:
                result = await self._upkeep.worker.do(lambda: self._reconciler.take_up(proposal))
            except OSError as error:
                raise RouteError(f"the kernel's routes cannot be read: {error}") from error
            finally:
                self._taken = self._reconciler.standing
            self._upkeep.retarget(self._settings)
            self._claim.keep(self._settings)
        self.installed = result.installed

    async def abort(self) -> None:
        """Leave routing as it was: the former settings are put back in the kernel if `commit` had begun, with what
        policies chose under them, or have chosen since. What that changes is told like a repair."""
        async with self._upkeep.worker.turn:
            if self._void:
                return
            self._void = True
            if self._former is None:
                self._claim.keep(self._upkeep.settings)
                return
            settings, standing = self._former
            try:
                self._claim.take(settings)
            except RouteError as error:
                log.error("the former routes cannot be put back: %s", error)  # noqa: TRY400 (its text says all)
                return
            try:
                result = await self._upkeep.worker.do(lambda: self._reconciler.undo(standing, self._taken))
                self._upkeep.news.publish(self._reconciler, result, fresh=True)
            except (OSError, RouteError) as error:
                log.error("the former routes could not all be put back yet: %s", error)  # noqa: TRY400
                self._upkeep.changed()
            self._upkeep.retarget(settings)
            self._claim.keep(settings)
