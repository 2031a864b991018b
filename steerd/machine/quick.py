"""wg-quick's files: what they say of a tunnel. Whatever else is in them is passed over; nothing of it is ever run."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Final, TypeVar

from steerd.config.values import addresses, marks
from steerd.machine.record import QuickFile
from steerd.net.wireguard.device import AllowedIp

_FOLDER: Final = "etc/wireguard"
_MOST: Final = 1 << 20  # bytes that are read of a file
_DEVICE: Final = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
"""What wg-quick takes for the name of a device."""
_APART: Final = re.compile(r"[\s,]+")

_T = TypeVar("_T")


def installed(root: Path) -> dict[str, QuickFile]:
    """Those of /etc/wireguard, by device. Raises `OSError`: the folder is not ours to read."""
    folder = root / _FOLDER
    return named(sorted(one for one in folder.iterdir() if one.suffix == ".conf")) if folder.is_dir() else {}


def named(files: Iterable[Path]) -> dict[str, QuickFile]:
    """These, by device. What is wrong with one is in it."""
    return {one.stem: _read(one) for one in files}


def _read(file: Path) -> QuickFile:
    if not _DEVICE.fullmatch(file.stem):
        return QuickFile(
            str(file), wrong="is not called as a device can be, with up to 15 letters, digits, and _ = + . -"
        )
    try:
        if file.exists() and not file.is_file():  # a pipe would never end
            return QuickFile(str(file), wrong="is no file")
        with file.open(encoding="utf-8", errors="replace") as opened:
            return parse(str(file), opened.read(_MOST))
    except OSError as error:
        return QuickFile(str(file), wrong=f"cannot be read: {error.strerror}")


def parse(file: str, text: str) -> QuickFile:
    """What a file with this text says. Values that are none are passed over."""
    if text.startswith("\ufeff"):
        return QuickFile(file, wrong="begins with a byte order mark, at which wg-quick stops")
    own: dict[str, list[str]] = {}
    peers: list[list[str]] = []
    ends: list[str] = []
    section = ""
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if words.startswith("["):
            section = words.lower()
            peers += [[]] if section == "[peer]" else []
        key, _, value = words.partition("=")
        key, values = key.strip().lower(), [one for one in _APART.split(value) if one]
        if section == "[interface]":
            own.setdefault(key, []).extend(values)
        elif section == "[peer]" and key == "allowedips":
            peers[-1] += values
        elif section == "[peer]" and key == "endpoint":
            ends += values
    return QuickFile(
        file,
        table="".join(own.get("table", ())[-1:]).lower(),
        mark=sum(_each(marks.mark, own.get("fwmark", ())[-1:])),
        addresses=tuple(_each(ip_interface, own.get("address", ()))),
        dns=tuple(str(one) for one in _each(ip_address, own.get("dns", ()))),
        allowed=tuple(frozenset(_each(_packed, texts)) for texts in peers),
        endpoint="".join(_each(_by_name, ends)) if len(peers) == len(ends) == 1 else "",
        wrong="" if own else "is no file of wg-quick: nothing stands under [Interface]",
    )


def _each(kind: Callable[[str], _T], values: Iterable[str]) -> Iterator[_T]:
    for one in values:
        with suppress(ValueError):
            yield kind(one)


def _by_name(text: str) -> str:
    """ValueError: it is no endpoint that is to be looked up."""
    host, port = addresses.endpoint(text)
    if addresses.is_address(host):
        raise ValueError(text)
    return f"{host}:{port}"


def _packed(text: str) -> AllowedIp:
    network = ip_network(text, strict=False)
    return network.network_address.packed + bytes((network.prefixlen,))
