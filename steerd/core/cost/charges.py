"""What a path is charged beside what is measured of it, and beside its own bias: for its PoP's load and its PoP's way
to a policy's service, as PoPs say, and for its uplink, as whoever counts its bytes says."""

from collections.abc import Iterable, Sequence
from typing import Final

from steerd.core.belief.path import Path
from steerd.core.cost.backbone import Backbone
from steerd.core.cost.pop_load import Loads
from steerd.core.events import PopState, UplinkPrice

NEAR: Final = 80
"""Percent of its cap from which an uplink costs more: 1 ms, and twice as much with each further percent."""

LAST_RESORT: Final = 94
"""Percent of its cap from which it costs no more, for that is more than anything else: 16.4 s. What is left of the cap
is for probes, for what is under way, and for times when nothing else is up."""

DEAREST: Final = 2.0 ** (LAST_RESORT - NEAR)


def scarcity(used: float) -> float:
    """What a path over an uplink costs more, in ms, that has used up this share of its cap. It changes with whole
    percents, so that a count that creeps is no news."""
    percent = int(100.0 * used + 1e-9)
    return 0.0 if percent < NEAR else DEAREST if percent >= LAST_RESORT else 2.0 ** (percent - NEAR)


class Charges:
    """The latest word of each PoP and uplink. ``backbone``: what PoPs say of their links."""

    def __init__(self) -> None:
        self.backbone = Backbone()
        self._loads = Loads()
        self._uplinks: dict[str, UplinkPrice] = {}

    @property
    def fade(self) -> bool:
        """Whether anything changes by time alone."""
        return bool(self._loads) or bool(self.backbone)

    def said(self, event: PopState, now: float) -> None:
        """A PoP says how loaded it is, and how far others are from it."""
        self._loads.told(event.pop, event.load, now - event.age)
        if event.backbone is not None:
            self.backbone.told(event.pop, event.backbone, now)

    def priced(self, event: UplinkPrice) -> None:
        """An uplink costs something else. One that costs nothing is forgotten."""
        self._uplinks.pop(event.uplink, None)
        if event.price or event.used:
            self._uplinks[event.uplink] = event

    def weigh(self, paths: Iterable[Path], now: float) -> Sequence[Path]:
        """Charge each path. Returns those that are charged otherwise than before."""
        shares = self._loads.shares(now)
        return [path for path in paths if self._charged(path, shares.get(path.pop, 0.0))]

    def _charged(self, path: Path, share: float) -> bool:
        uplink = self._uplinks.get(path.settings.uplink)
        price, scarce = (uplink.price, scarcity(uplink.used)) if uplink is not None else (0.0, 0.0)
        before = path.load, path.fee, path.scarcity
        path.charge(load=share, fee=price, scarcity=scarce, spared=scarce >= DEAREST)
        return before != (share, price, scarce)
