"""WireGuard in user space: the text that wireguard-go and others speak on their socket
(https://www.wireguard.com/xplatform/). Blocking: a program that hangs costs `PATIENCE`."""

import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

from steerd.net.wireguard.device import AllowedIp, Device, Grant, Peer, WireGuardError

FOLDER: Final = Path("/var/run/wireguard")
PATIENCE: Final = 2.0
"""Seconds for one question and its answer."""
MOST: Final = 16 << 20
"""Bytes of an answer: those of 200,000 allowed IPs are fewer."""

GET: Final = b"get=1\n\n"

_DIGITS: Final = 20  # of a number of 64 bits
_SECRET: Final = {"private_key", "preshared_key"}


def path(name: str) -> Path:
    """The device's socket, if a program serves it."""
    return FOLDER / f"{name}.sock"


def served(name: str) -> bool:
    """Whether there is such a socket, as far as we may look."""
    try:
        return path(name).is_socket()
    except OSError:
        return False


def exchange(name: str, request: bytes) -> bytes | None:
    """What the program behind a device answers; None: it has none. Raises `WireGuardError`."""
    if not served(name):
        return None
    end = time.monotonic() + PATIENCE
    found = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as one:
            one.settimeout(PATIENCE)
            one.connect(str(path(name)))
            one.sendall(request)
            while not found.endswith(b"\n\n"):
                one.settimeout(max(end - time.monotonic(), 0.001))
                part = one.recv(1 << 16)
                if not part:
                    break
                found += part
                if len(found) > MOST:
                    raise WireGuardError(0, f"the answer has more than {MOST >> 20} MiB")
    except ConnectionRefusedError:  # a socket that a program left behind
        return None
    except TimeoutError as error:
        raise WireGuardError(error.errno or 0, f"{path(name)}: no answer within {PATIENCE:g} s") from None
    except OSError as error:
        raise WireGuardError.of(str(path(name)), error) from None
    return bytes(found)


def decode(name: str, answer: bytes) -> Device:
    """A device from the answer to `GET`; secret keys are skipped. Raises `WireGuardError`, or `ValueError` for what
    no device can say."""
    mark = 0
    peers: dict[str, Peer] = {}
    allowed: dict[str, list[AllowedIp]] = {}
    peer: Peer | None = None
    for key, value in _lines(name, answer):
        if key == "public_key":
            peer = Peer(b64encode(bytes.fromhex(value)).decode())
            allowed[peer.key] = []
        elif key == "fwmark":
            mark = _number(value, 32)
        elif peer is None:
            continue
        elif key == "allowed_ip":
            allowed[peer.key].append(_packed(value))
        elif key == "endpoint":
            peer = _at(peer, value)
        elif key == "last_handshake_time_sec":
            peer = replace(peer, handshake=peer.handshake + _number(value))
        elif key == "last_handshake_time_nsec":
            peer = replace(peer, handshake=peer.handshake + _number(value) / 1e9)
        elif key == "rx_bytes":
            peer = replace(peer, rx=_number(value))
        elif key == "tx_bytes":
            peer = replace(peer, tx=_number(value))
        elif key == "persistent_keepalive_interval":
            peer = replace(peer, keepalive=_number(value, 16))
        if peer is not None:
            peers[peer.key] = peer
    return Device(name, mark, {key: replace(one, allowed=frozenset(allowed[key])) for key, one in peers.items()})


def check(name: str, answer: bytes) -> None:
    """Of the answer to a change. Raises `WireGuardError` if it was refused."""
    try:
        for _ in _lines(name, answer):
            pass
    except ValueError as error:
        raise WireGuardError(0, f"{name}: {error}") from error


def _lines(name: str, answer: bytes) -> Iterator[tuple[str, str]]:
    """Keys and values up to the end, which says whether all went well; of keys that are secret nothing."""
    # Line by line: all of them at once take ten times the room, and keep other threads waiting.
    for line in BytesIO(answer):
        key, _, value = line.decode("ascii", errors="replace").rstrip("\r\n").partition("=")
        if key == "errno":
            if value != "0":
                raise WireGuardError(_number(value.removeprefix("-"), 31), f"{name}: refused with errno {value}")
            return
        if key not in _SECRET:
            yield key, value
    raise WireGuardError(0, f"{path(name)}: the answer ends in the middle")


def _number(text: str, bits: int = 64) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS) or (number := int(text)) >> bits:
        raise ValueError(f"{text[:_DIGITS]!r} is no number of {bits} bits")
    return number


def _at(peer: Peer, text: str) -> Peer:
    """The peer with this endpoint, as far as it is one: what else is said of it counts all the same."""
    host, _, port = text.rpartition(":")
    known = _address(host.strip("[]").partition("%")[0])
    with suppress(ValueError):
        return replace(peer, endpoint=known, port=_number(port, 16))
    return replace(peer, endpoint=known)


def _address(text: str) -> str:
    """The same if it is an address, else an empty one: it decides nothing."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return ""
    return text


def _packed(text: str) -> AllowedIp:
    address, _, length = text.partition("/")
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError as error:
        raise ValueError(f"{text!r} is no prefix") from error
    if (bits := _number(length, 8)) > 8 * len(packed):
        raise ValueError(f"{text!r} is no prefix")
    return packed + bytes((bits,))


def set_request(grants: Iterable[Grant]) -> bytes:
    """Gives allowed IPs to existing peers; what another peer has moves."""
    lines = ["set=1"]
    for grant in grants:
        lines += [f"public_key={_hex(grant.peer)}", "update_only=true"]
        lines += [f"allowed_ip={_text(one)}" for one in grant.allowed]
    return ("\n".join(lines) + "\n\n").encode()


def drop_request(allowed: Iterable[AllowedIp], stand_in: str) -> bytes:
    """As `steerd.net.wireguard.genl.drop_requests`."""
    key = _hex(stand_in)
    lines = ["set=1", f"public_key={key}", *(f"allowed_ip={_text(one)}" for one in allowed)]
    return ("\n".join([*lines, f"public_key={key}", "remove=true"]) + "\n\n").encode()


def point_request(peer: str, address: str, port: int) -> bytes:
    """Tells an existing peer where its far end is."""
    host = f"[{address}]" if ":" in address else address
    return f"set=1\npublic_key={_hex(peer)}\nupdate_only=true\nendpoint={host}:{port}\n\n".encode()


def _hex(key: str) -> str:
    return b64decode(key).hex()


def _text(packed: AllowedIp) -> str:
    family = socket.AF_INET if len(packed) == 5 else socket.AF_INET6
    return f"{socket.inet_ntop(family, packed[:-1])}/{packed[-1]}"
