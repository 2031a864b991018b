"""The topics, all under `steer/v1/TENANT/`."""

from collections.abc import Sequence
from typing import Final, NamedTuple

VERSION: Final = 1


def pop_state(tenant: str, pop: str) -> str:
    """Where a PoP says what it has to say of itself."""
    return f"steer/v{VERSION}/{tenant}/pop/{pop}/state"


def catalogue(tenant: str, name: str) -> str:
    """Where a provider's signed list of PoPs is."""
    return f"steer/v{VERSION}/{tenant}/catalogue/{name}"


class Topics:
    """The topics of one gateway. Names come from a checked configuration: no `/`, `+` or `#` in them.

    `state`, `score` and `event` are where this gateway publishes its state, its scoreboard and its switches;
    `pop_states` and `orders` are the filters for what PoPs say of themselves, and for signed orders to this gateway;
    `rollup` is what its region's gateways measured, put together.
    """

    def __init__(self, tenant: str, region: str, gateway: str) -> None:
        self.tenant = tenant
        self._root = f"steer/v{VERSION}/{tenant}"
        self._audiences = "all", f"region/{region}", f"gw/{gateway}"
        own = f"{self._root}/gw/{region}/{gateway}"
        self.state = f"{own}/state"
        self.score = f"{own}/score"
        self.event = f"{own}/event"
        self.pop_states = f"{self._root}/pop/+/state"
        self.rollup = f"{self._root}/region/{region}/rollup"
        self.orders = tuple(f"{self._root}/ctl/{to}/{kind}/+" for to in self._audiences for kind in ("pop", "policy"))

    def pop(self, topic: str) -> str | None:
        """The PoP whose state `topic` carries, if it carries one."""
        rest = topic.removeprefix(f"{self._root}/pop/")
        pop = rest.removesuffix("/state")
        return pop if len(rest) < len(topic) and len(pop) < len(rest) and "/" not in pop else None

    def of_orders(self, topic: str) -> bool:
        """Whether it is one of signed orders, to anybody."""
        return topic.startswith(f"{self._root}/ctl/")

    def of_catalogues(self, topic: str) -> bool:
        """Whether it is one of a provider's lists, wanted or not."""
        return topic.startswith(f"{self._root}/catalogue/")

    def order(self, topic: str) -> tuple[str, str, str] | None:
        """Audience, kind (`pop` or `policy`) and name that an order on `topic` is for; None: not for this gateway."""
        for to in self._audiences:
            kind, _, name = topic.removeprefix(f"{self._root}/ctl/{to}/").partition("/")
            if kind in {"pop", "policy"} and name and "/" not in name:
                return to, kind, name
        return None


class Said(NamedTuple):
    """Whose message it is: ``kind`` is ``gw``, ``pop`` or ``ctl``, ``name`` that of the gateway or PoP, and ``what``
    the last word of the topic. ``region`` is a gateway's, and of an order its audience."""

    kind: str
    name: str
    what: str
    region: str = ""


class FleetTopics:
    """The topics of a fleet service that hears the gateways of ``regions`` (none: of all) and all PoPs. ``filters``:
    what that subscribes to; ``orders``: to drain PoPs."""

    def __init__(self, tenant: str, name: str, regions: Sequence[str]) -> None:
        self._root = f"steer/v{VERSION}/{tenant}/"
        self.state = f"{self._root}fleet/{name}/state"
        gateways = [f"{self._root}gw/{region}/+/+" for region in regions or ["+"]]
        self.filters = (*gateways, f"{self._root}pop/+/state")
        self.orders = tuple(f"{self._root}ctl/{to}/pop/+" for to in ("all", "region/+", "gw/+"))

    def rollup(self, region: str) -> str:
        """Where a region's rollup is."""
        return f"{self._root}region/{region}/rollup"

    def said(self, topic: str) -> Said | None:
        """Whose message this is; None: of nobody that is listened to."""
        match topic.removeprefix(self._root).split("/"):
            case ["gw", region, name, "state" | "score" | "event" as what]:
                return Said("gw", name, what, region)
            case ["pop", name, "state"]:
                return Said("pop", name, "state")
            case ["ctl", *audience, "pop", name] if audience:
                return Said("ctl", name, "pop", "/".join(audience))
        return None
