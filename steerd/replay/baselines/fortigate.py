"""FortiGate's SD-WAN rule with the strategy *best quality* and latency as the criterion.

Sources: Fortinet, FortiOS administration guide, "Best quality strategy", and the technical tip "SD-WAN Best Quality
Rules - link-cost-threshold attribute" (community.fortinet.com, FD50908) for the comparison; the CLI reference, `config
system sdwan`, for the defaults of a health check.
https://docs.fortinet.com/document/fortigate/latest/administration-guide/22371/best-quality-strategy

Not shown: a probe is sent every 500 ms there (interval), here every sample is one. The order of members is the
operator's, see `Preference`.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.baselines.preference import Preference

THRESHOLD: Final = 0.10  # how much better a member must be than one that is preferred to it (link-cost-threshold, 10 %)
PROBES: Final = 30  # newest answers whose mean is a member's latency (probe-count)
TIMEOUT: Final = 500.0  # ms: a slower answer is none (probe-timeout)
FAIL: Final = 5  # probes lost in a row after which a member is dead (failtime)
RECOVER: Final = 5  # answers in a row after which it is alive again (recoverytime)


class _Member:
    def __init__(self) -> None:
        self.alive = True
        self._against = 0  # results in a row that speak against the state
        self._answers: deque[float] = deque(maxlen=PROBES)

    def probed(self, rtt: float | None) -> None:
        """An answer, in ms; None: there was none."""
        answered = rtt is not None and rtt <= TIMEOUT
        if answered and rtt is not None:
            self._answers.append(rtt)
        self._against = 0 if answered == self.alive else self._against + 1
        if self._against >= (FAIL if self.alive else RECOVER):
            self.alive, self._against = not self.alive, 0

    @property
    def latency(self) -> float | None:
        """The mean in ms; None: no answer yet."""
        return sum(self._answers) / len(self._answers) if self._answers else None


class FortiGate:
    """The first member, by preference, that is alive; any later one that beats the best so far by the threshold."""

    def __init__(self) -> None:
        self._path: PathId | None = None
        self._members: dict[PathId, _Member] = {}
        self._preference = Preference()

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:  # noqa: ARG002
        self._preference.meet(rtts)
        for path, rtt in rtts.items():
            self._members.setdefault(path, _Member()).probed(rtt)
        best, least = None, 0.0
        for path in self._preference.order:
            member = self._members[path]
            latency = member.latency
            if member.alive and latency is not None and (best is None or latency < least / (1.0 + THRESHOLD)):
                best, least = path, latency
        self._path = best or self._path
        return self._path
