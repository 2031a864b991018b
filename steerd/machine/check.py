"""A configuration held against this machine: everything that is looked at."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from steerd.config.settings import Config
from steerd.machine.answers import Answers
from steerd.machine.finding import Finding, Severity, worst_first
from steerd.machine.looks import (
    devices,
    forwarding,
    listening,
    neighbours,
    next_hops,
    numbers,
    over,
    routes,
    targets,
    tools,
    tunnels,
    uplinks,
)
from steerd.machine.looks.targets import SILENCE
from steerd.machine.record import Machine

_LOOKS: Final[tuple[Callable[[Config, Machine], Iterator[Finding]], ...]] = (
    numbers.look,
    devices.look,
    next_hops.look,
    tunnels.look,
    over.look,
    uplinks.look,
    forwarding.look,
    routes.look,
    neighbours.look,
    tools.look,
)
_ANSWERED: Final = (targets.look, listening.look)
"""Those that need answers, too."""


def findings(config: Config, machine: Machine, answers: Answers) -> list[Finding]:
    """All that stands between them, errors first."""
    by_machine = [*chain.from_iterable(look(config, machine) for look in _LOOKS)]
    broken = {one.place.partition(",")[0] for one in by_machine if one.severity is Severity.ERROR}
    by_answers = chain.from_iterable(look(config, machine, answers) for look in _ANSWERED)
    # Why the targets of a path are silent is told by what is wrong with the path.
    rest = [one for one in by_answers if one.id not in SILENCE or one.place.partition(",")[0] not in broken]
    return worst_first((*by_machine, *rest))
