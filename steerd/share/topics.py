"""The topics, all under `steer/v1/TENANT/`."""

from dataclasses import dataclass
from typing import Final

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway. Names come from a checked configuration: no `/`, `+` or `#` in them."""

    tenant: str
    region: str
    gateway: str

    @property
    def state(self) -> str:
        """Where this gateway publishes its state."""
        return f"{self._root}/gw/{self.region}/{self.gateway}/state"

    @property
    def score(self) -> str:
        """Where this gateway publishes its scoreboard."""
        return f"{self._root}/gw/{self.region}/{self.gateway}/score"

    @property
    def event(self) -> str:
        """Where this gateway publishes its switches."""
        return f"{self._root}/gw/{self.region}/{self.gateway}/event"

    @property
    def pop_states(self) -> str:
        """The filter for what PoPs say of themselves."""
        return f"{self._root}/pop/+/state"

    def pop(self, topic: str) -> str | None:
        """The PoP whose state `topic` carries, if it carries one."""
        rest = topic.removeprefix(f"{self._root}/pop/")
        pop = rest.removesuffix("/state")
        return pop if len(rest) < len(topic) and len(pop) < len(rest) and "/" not in pop else None

    @property
    def orders(self) -> tuple[str, ...]:
        """The filters for signed orders to this gateway."""
        return tuple(f"{self._root}/ctl/{to}/{kind}/+" for to in self._audiences for kind in ("pop", "policy"))

    def of_orders(self, topic: str) -> bool:
        """Whether it is one of signed orders, to anybody."""
        return topic.startswith(f"{self._root}/ctl/")

    def order(self, topic: str) -> tuple[str, str, str] | None:
        """Audience, kind (`pop` or `policy`) and name that an order on `topic` is for; None: not for this gateway."""
        for to in self._audiences:
            kind, _, name = topic.removeprefix(f"{self._root}/ctl/{to}/").partition("/")
            if kind in {"pop", "policy"} and name and "/" not in name:
                return to, kind, name
        return None

    @property
    def _audiences(self) -> tuple[str, ...]:
        return "all", f"region/{self.region}", f"gw/{self.gateway}"

    @property
    def _root(self) -> str:
        return f"steer/v{VERSION}/{self.tenant}"
