"""The provider's catalogue, as `status` and the metrics show it."""

from typing import Any, NamedTuple

from steerd.text.times import span


class CatalogueView(NamedTuple):
    """``serial`` of the one in force (None: none has come), with so many ``pops``; ``issued_ago``: seconds since it was
    signed. ``good_at`` (s since 1970) and ``good_ago`` (s): when its source was last read, and in order; None: not
    since the start. ``refused``: why what is there now is not taken; ``unkept``: why a restart will not know it."""

    name: str
    source: str
    serial: int | None
    pops: int
    issued_ago: float | None
    expired: bool
    good_at: float | None
    good_ago: float | None
    refused: str = ""
    unkept: str = ""

    def figures(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "source": self.source,
            "serial": self.serial,
            "pops": self.pops,
            "age_s": None if self.issued_ago is None else round(self.issued_ago, 1),
            "checked_ago_s": None if self.good_ago is None else round(self.good_ago, 1),
            "expired": self.expired,
            "refused": self.refused or None,
        }

    def remarks(self) -> list[str]:
        """What is wrong with it."""
        name = f"catalogue {self.name}"
        found = [] if self.serial is not None else [f"{name}: none has come yet, and its PoPs are not known"]
        if self.expired:
            found.append(f"{name} has expired: its PoPs are used until a newer one comes")
        if self.refused:
            found.append(f"{name}: what is at {self.source} is not taken: {self.refused}")
        return [*found, *([f"{name}: {self.unkept}"] if self.unkept else [])]


def line(figures: dict[str, Any]) -> str:
    """A line of `steerctl status`."""
    if figures["serial"] is None:
        return f"catalogue {figures['name']}: none yet, from {figures['source']}"
    checked = "not yet checked" if figures["checked_ago_s"] is None else f"checked {span(figures['checked_ago_s'])} ago"
    return (
        f"catalogue {figures['name']}: serial {figures['serial']}, {figures['pops']} PoPs, "
        f"signed {span(figures['age_s'])} ago, {checked}, from {figures['source']}"
    )
