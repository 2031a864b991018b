"""How many bytes went over an uplink in its present period, whatever becomes of its device's counter and the clock."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, TypeGuard

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d|", re.ASCII)
_MOST: Final = 1 << 62

ABSENT: Final = ""
"""In the place of a device that is not there."""


@dataclass(slots=True)
class Count:
    """``bytes`` since the day ``began``, both ways together, by the rule ``resets`` (both empty: the clock was never
    right). ``device``: which one was read last, of all that had the name, and its ``counter`` then (None: none was).
    ``former``: when it was thought to have begun before the clock said otherwise."""

    bytes: int = 0
    began: str = ""
    resets: str = ""
    device: str | None = None
    counter: int = 0
    former: str = ""

    def look(self, device: str, counter: int) -> None:
        """The device's counter says so. What it says first is where counting begins; a counter that went back, or that
        of another device, has begun at nothing since."""
        if device == ABSENT:
            self.device = ABSENT if self.device is None else self.device
            return
        if self.device is not None:
            known = self.counter if device == self.device and counter >= self.counter else 0
            self.bytes += counter - known
        self.device, self.counter = device, counter

    def renew(self, began: str, resets: str) -> bool:
        """The period of now began on this day (ISO 8601). True: it is another one, and nothing was counted in it yet.
        By another rule than before it is taken for the same: what was counted is too much then, rather than lost."""
        if resets != self.resets:
            self.began, self.resets = began, resets
            return False
        if began <= self.began:
            return False
        anew, self.began, self.former = began != self.former, began, ""
        if anew:
            self.bytes = 0
        return anew

    def dated(self, began: str) -> None:
        """It began on this day, as far as the clock goes: that was wrong before, or is now."""
        self.began, self.former = began, self.began

    def kept(self) -> dict[str, Any]:
        """For `restored`."""
        return asdict(self)

    @classmethod
    def restored(cls, kept: Any) -> Self | None:
        """What an earlier run kept; None: it makes no sense."""
        if not isinstance(kept, dict):
            return None
        total, began, resets, device, counter, former = (kept.get(name) for name in cls.__slots__)
        if not (_is_count(total) and _is_count(counter) and isinstance(device, str | None)):
            return None
        if not (isinstance(began, str) and isinstance(resets, str) and _DAY.fullmatch(began)):
            return None
        return cls(total, began, resets, device, counter, former if isinstance(former, str) else "")


def _is_count(one: Any) -> TypeGuard[int]:
    return type(one) is int and 0 <= one < _MOST
