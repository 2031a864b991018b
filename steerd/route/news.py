"""What the daemon is told of routing, and what it was told last."""

from collections.abc import Callable, Mapping

from steerd.core.events import Installed
from steerd.core.settings import PathId, PolicyId
from steerd.route.reconcile.account import Result
from steerd.route.reconcile.reconciler import Reconciler


class News:
    """``links`` says whether each path's device is there and up, ``counts`` how many routes lead on, by policy and
    family; ``on_repair`` tells of an object that was put right, by its kind."""

    def __init__(
        self,
        on_link: Callable[[PathId, bool], None],
        on_installed: Callable[[Installed], None],
        on_repair: Callable[[str], None],
    ) -> None:
        self.links: dict[PathId, bool] = {}
        self.counts: Mapping[tuple[PolicyId, int], int] = {}
        self.on_repair = on_repair
        self._on_link = on_link
        self._on_installed = on_installed

    def know(self, reconciler: Reconciler) -> None:
        """Take over what was told in another way."""
        self.links, self.counts = dict(reconciler.links), reconciler.counts

    def link(self, path: PathId, up: bool) -> None:
        """A path's device is up, or not; told if that changed."""
        if self.links.get(path) != up:
            self.links[path] = up
            self._on_link(path, up)

    def publish(self, reconciler: Reconciler, result: Result, *, fresh: bool) -> None:
        """Tell the result of a look at the kernel. ``fresh``: no device changed since it began."""
        self.counts = reconciler.counts
        if fresh:
            for path, up in reconciler.links.items():
                self.link(path, up)
        for installed in result.installed:
            self._on_installed(installed)
        for name, times in result.repairs.items():
            for _ in range(times):
                self.on_repair(name)
