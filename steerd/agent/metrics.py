"""What an agent serves by HTTP, if it is to: its metrics for Prometheus, and its health."""

from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from steerd import __version__
from steerd.faults import counts
from steerd.reflect.reflector import DropReason, Reflector
from steerd.share.pop import PopStatus
from steerd.web.http import Answer, Request, plain
from steerd.web.text import CONTENT_TYPE, header, labels, line, number

_GAUGES: Final = {
    "steerd_build_info": "1, with the running version.",
    "steerd_mqtt_connected": "1 while connected to the broker.",
    "steerd_agent_accepting": "1 while the PoP says that it takes traffic.",
    "steerd_agent_load_ratio": "The load as read last; NaN: not known.",
    "steerd_agent_load_age_seconds": "Since the load was read; NaN: it is not known.",
    "steerd_agent_link_rtt_seconds": "Mean RTT of a link to another PoP, or to a service.",
    "steerd_agent_link_loss_ratio": "Share of its probes that were lost; 1 when nothing answers any more.",
}
_COUNTERS: Final = {
    "steerd_mqtt_messages_total": "MQTT messages.",
    "steerd_refused_total": "Inputs that were refused.",
    "steerd_agent_load_failures_total": "Readings of the load that failed.",
    "steerd_reflect_packets_total": "Packets to the reflector, by what became of them.",
    "steerd_faults_total": "Faults that were contained, by part.",
}


class Metrics:
    """``status``, ``failures`` (of readings of the load) and ``reflector`` are looked at for each scrape. `connection`,
    `message` and `refused` are those of a session."""

    def __init__(
        self,
        status: Callable[[], PopStatus],
        failures: Callable[[], int],
        reflector: Callable[[], Reflector | None],
    ) -> None:
        self._status = status
        self._failures = failures
        self._reflector = reflector
        self._connected = False
        self._messages: Counter[str] = Counter({"in": 0, "out": 0})
        self._refused: Counter[tuple[str, str]] = Counter()

    def connection(self, connected: bool) -> None:
        """Whether the broker is connected now."""
        self._connected = connected

    def message(self, direction: str) -> None:
        """`direction`: `in` or `out`."""
        self._messages[direction] += 1

    def refused(self, source: str, reason: str) -> None:
        """`reason` is one of few, and holds nothing that others chose."""
        self._refused[source, reason] += 1

    def answer(self, request: Request) -> Answer:
        """As `steerd.web.http.Server` asks for it."""
        match request.path:
            case b"/metrics":
                return Answer(HTTPStatus.OK, CONTENT_TYPE, self.render())
            case b"/healthz":
                return plain(HTTPStatus.OK, "ok")
            case b"/readyz" if self._connected:
                return plain(HTTPStatus.OK, "connected to the broker")
            case b"/readyz":
                return plain(HTTPStatus.SERVICE_UNAVAILABLE, "the broker is not connected")
        return plain(HTTPStatus.NOT_FOUND, "not found")

    def render(self) -> bytes:
        """The page for Prometheus."""
        status = self._status()
        reflector = self._reflector()
        dropped = {} if reflector is None else reflector.dropped
        packets = {"reflected": 0 if reflector is None else reflector.reflected}
        packets |= {reason.value: dropped.get(reason, 0) for reason in DropReason}
        series: dict[str, dict[str, float | None]] = {
            "steerd_build_info": {labels(version=__version__): 1.0},
            "steerd_mqtt_connected": {"": float(self._connected)},
            "steerd_agent_accepting": {"": float(status.accepting)},
            "steerd_agent_load_ratio": {"": status.load},
            "steerd_agent_load_age_seconds": {"": None if status.load is None else status.age},
            "steerd_agent_link_rtt_seconds": {labels(to=one.to): one.rtt / 1e3 for one in status.links},
            "steerd_agent_link_loss_ratio": {labels(to=one.to): one.loss for one in status.links},
            "steerd_mqtt_messages_total": {labels(direction=way): float(n) for way, n in self._messages.items()},
            "steerd_refused_total": {labels(source=s, reason=r): float(n) for (s, r), n in self._refused.items()},
            "steerd_agent_load_failures_total": {"": float(self._failures())},
            "steerd_reflect_packets_total": {labels(result=what): float(n) for what, n in packets.items()},
            "steerd_faults_total": {labels(part=part): float(n) for part, n in counts.items()},
        }
        page = [self._family(name, series[name]) for name in (*_GAUGES, *_COUNTERS)]
        return "".join(page).encode()

    def _family(self, name: str, values: Mapping[str, float | None]) -> str:
        kind = "gauge" if name in _GAUGES else "counter"
        meaning = (_GAUGES | _COUNTERS)[name]
        series = (line(name, inner, value) if inner else f"{name} {number(value)}\n" for inner, value in values.items())
        return header(name, kind, meaning) + "".join(series)
