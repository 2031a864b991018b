"""Which PoPs signed orders drain, and for whom. They are verified as gateways do it, and only shown."""

from collections.abc import Callable, Mapping
from typing import Final

from steerd.share.messages import RefusedError
from steerd.share.signing import Signer, WantedState, claimed, verified
from steerd.share.topics import Said

ORDERS_MAX: Final = 10_000


class Drains:
    """Takes orders that a trusted key has signed. ``wall``: the time since 1970, in seconds."""

    def __init__(self, trusted: Mapping[str, Signer], wall: Callable[[], float]) -> None:
        self._trusted = trusted
        self._wall = wall
        self._orders: dict[tuple[str, str], WantedState] = {}

    def take(self, said: Said, payload: bytes) -> None:
        """An order of this topic; an empty one says that it is no more. RefusedError: it is none of a trusted key's."""
        key = said.region, said.name
        if not payload:
            self._orders.pop(key, None)
            return
        order = verified(claimed(payload, self._trusted))
        if (order.to, order.pop) != key:
            raise RefusedError("wrong topic")
        kept = self._orders.get(key)
        if kept is not None and order.counter < kept.counter:
            raise RefusedError("replayed")
        if kept is None and len(self._orders) >= ORDERS_MAX:
            raise RefusedError("too many")
        self._orders[key] = order

    def of(self, pop: str) -> list[str]:
        """For whom the PoP is drained now: `all`, `region/R`, `gw/ID`."""
        now = self._wall() * 1000
        return sorted(
            audience
            for (audience, name), order in self._orders.items()
            if name == pop and order.drained and order.nbf_ms <= now < order.exp_ms
        )
