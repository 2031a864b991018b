"""What the daemon is told of routing, and what it was told last."""

from collections.abc import Callable, Mapping

from steerd.core.events import Installed, Link
from steerd.core.settings import PathId, PolicyId
from steerd.route.reconcile.account import Result
from steerd.route.reconcile.reconciler import Reconciler


class News:
    """``links`` says whether packets can be routed to each path, ``counts`` how many routes lead on, by policy and
    family; ``on_repair`` tells of an object that was put right, by its kind."""

    def __init__(
        self,
        on_link: Callable[[Link], None],
        on_installed: Callable[[Installed], None],
        on_repair: Callable[[str], None],
    ) -> None:
        self.links: dict[PathId, Link] = {}
        self.counts: Mapping[tuple[PolicyId, int], int] = {}
        self.on_repair = on_repair
        self._on_link = on_link
        self._on_installed = on_installed

    def know(self, reconciler: Reconciler) -> None:
        """Take over what was told in another way."""
        self.links, self.counts = dict(reconciler.links), reconciler.counts

    def link(self, link: Link) -> None:
        """Packets can be routed to a path, or not; told if that changed, or why."""
        if self.links.get(link.path) != link:
            self.links[link.path] = link
            self._on_link(link)

    def publish(self, reconciler: Reconciler, result: Result, *, fresh: bool) -> None:
        """Tell the result of a look at the kernel. ``fresh``: no device changed since it began."""
        self.counts = reconciler.counts
        if fresh:
            for link in reconciler.links.values():
                self.link(link)
        for installed in result.installed:
            self._on_installed(installed)
        for name, times in result.repairs.items():
            for _ in range(times):
                self.on_repair(name)
