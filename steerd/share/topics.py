"""Where what is published, all under `steer/v1/TENANT/`."""

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
        return f"{self._own}/state"

    @property
    def score(self) -> str:
        return f"{self._own}/score"

    @property
    def event(self) -> str:
        return f"{self._own}/event"

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
    def _root(self) -> str:
        return f"steer/v{VERSION}/{self.tenant}"

    @property
    def _own(self) -> str:
        return f"{self._root}/gw/{self.region}/{self.gateway}"
