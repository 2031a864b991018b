"""Where metrics are served and steerctl is heard, and the broker that sharing goes by."""

from collections.abc import Iterator
from ipaddress import ip_address

from steerd.config.settings import Config, ExportSettings
from steerd.machine.answers import Answers
from steerd.machine.finding import Finding, do, error, put, warning
from steerd.machine.record import Listener, Machine

_CONTROL = "/run/steerd/control.sock"
_LOOPBACK = "127.0.0.1"
_TRIES = 100


def look(config: Config, machine: Machine, answers: Answers) -> Iterator[Finding]:
    """Steering goes on without metrics and sharing."""
    yield from _metrics(config.export, machine)
    if machine.sockets.blocked:
        yield error(
            "control-socket",
            "control.socket",
            f"{machine.sockets.blocked}.",
            "steerctl's socket cannot be made there: steerd does not start.",
            do("Move it away, or write another control.socket.")
            if str(config.control_socket) == _CONTROL
            else put(f'control.socket = "{_CONTROL}"'),
        )
    if answers.broker and config.mqtt:
        where = f"{config.mqtt.host}:{config.mqtt.port}"
        yield warning(
            "broker-unreachable",
            "mqtt.url",
            f"The broker at {where} cannot be reached: {answers.broker}.",
            "Nothing is shared, and no order comes, until it is; steering goes on.",
            do("See that the broker runs and listens there, and that main's routes lead to it."),
        )


def _metrics(export: ExportSettings, machine: Machine) -> Iterator[Finding]:
    host, port = export.host, export.port
    address = ip_address(_LOOPBACK if host == "localhost" else host)
    if not address.is_unspecified and not address.is_loopback and str(address) not in machine.own:
        yield warning(
            "metrics-address",
            "export.listen",
            f"{host} is not an address of this machine.",
            "Metrics, /healthz and /readyz are not served, until it is there.",
            put(f'export.listen = "{_LOOPBACK}:{port}"'),
        )
        return
    taken = next((one for one in machine.sockets.listeners if _meets(one, str(address), port)), None)
    holder = machine.sockets.holders.get(taken.inode) if taken else None
    if taken is None or (holder and holder.pid == machine.sockets.daemon):
        return
    if holder is None and "CAP_NET_ADMIN" not in machine.capable:
        return  # whose it is cannot be seen, and it may be this configuration's own daemon
    by = f"process {holder.pid} ({holder.name})" if holder else "another process"
    used = {one.port for one in machine.sockets.listeners}
    free = next((one for one in range(port + 1, port + _TRIES) if one not in used), 0)
    shown = f"[{host}]" if ":" in host else host
    yield warning(
        "metrics-port",
        "export.listen",
        f"Port {port} is taken: {by} listens at {taken.address}.",
        "Metrics, /healthz and /readyz are not served, until it is free.",
        put(f'export.listen = "{shown}:{free}"'),
    )


def _meets(one: Listener, address: str, port: int) -> bool:
    """Whether the address cannot be bound beside it."""
    if port == 0 or one.port != port:
        return False
    there, here = ip_address(one.address), ip_address(address)
    return there == here or here.is_unspecified or (there.is_unspecified and there.version in (here.version, 6))
