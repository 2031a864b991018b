"""`steerctl sign-catalogue` and `send-catalogue`: a provider's list of PoPs, signed. They need no daemon."""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from steerd.cli.signing import CONFIGURATION, FAILED, OK, Stop, broker, key_file, send
from steerd.cli.terminal import say

SIGN, SEND = VERBS = "sign-catalogue", "send-catalogue"
_KEYS: Final = {"name", "serial", "pop"}
_KEY_MAX: Final = 4096  # bytes of the secret key's file


def add(verb: Callable[[str, str], argparse.ArgumentParser], duration: Callable[[str], float]) -> None:
    """The verbs' arguments."""
    signing = verb(SIGN, "sign a list of PoPs for gateways with a [catalogue], and print it or write it")
    signing.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it, whole or not at all")
    sending = verb(SEND, "sign a list of PoPs, and publish it at the broker of -c FILE, for gateways with topic = true")
    for made in (signing, sending):
        made.add_argument(
            "list", type=Path, metavar="FILE", help="TOML with name, [[pop]] entries and, if wanted, a serial"
        )
        made.add_argument("--for", dest="duration", type=duration, default=31 * 86400.0, metavar="31d",
                          help="then it expires: no gateway takes it any more (default: 31d)")  # fmt: skip
        made.add_argument("--key", type=Path, metavar="FILE", help="the secret key, as steerctl keygen makes it")


def main(options: argparse.Namespace) -> int:
    """Signs it, and sends it; returns the exit code."""
    try:
        signed = _signed(options)
        if options.verb == SEND:
            _send(options, signed)
        elif options.output is None:
            say(signed.payload.decode())
        else:
            _write(options.output, signed.payload)
            say(f"{options.output}: {signed.said}")
    except Stop as stop:
        say(f"steerctl: {stop}", error=True)
        return stop.code
    except OSError as error:
        say(f"steerctl: {error.filename or options.list}: {error.strerror}", error=True)
        return FAILED
    except ValueError as error:
        say(f"steerctl: {error}", error=True)
        return FAILED
    return OK


class _Signed(NamedTuple):
    name: str
    payload: bytes
    said: str


def _send(options: argparse.Namespace, signed: _Signed) -> None:
    from steerd.share.messages import packed
    from steerd.share.mqtt.client import receivable
    from steerd.share.topics import catalogue

    settings = broker(options.config or CONFIGURATION)
    topic, (payload, kind) = catalogue(settings.tenant, signed.name), packed(signed.payload)
    if not receivable(topic, payload):
        raise ValueError(
            f"{options.list}: is {len(payload) >> 10} KiB compressed, and a gateway takes no MQTT packet above 64 KiB: "
            "have a web server or a file carry it"
        )
    send(settings, topic, payload, options.duration, kind)
    if options.json:
        say(json.dumps({"ok": True, "topic": topic, "content_type": kind, "bytes": len(payload)}))
    else:
        say(f"sent to {topic}: {signed.said}")


def _signed(options: argparse.Namespace) -> _Signed:
    from steerd.config.catalogue.signed import sign
    from steerd.config.file.files import content
    from steerd.config.file.toml import toml
    from steerd.share.signing import secret

    try:
        raw = toml(options.list)
    except Exception as error:
        raise ValueError(str(error)) from error
    _checked(options.list, raw)
    file = options.key or key_file()
    try:
        key = secret(content(file, _KEY_MAX).decode(errors="replace"))
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error
    now = int(time.time() * 1000)
    serial, pops = raw.get("serial", now), raw.get("pop", [])
    try:
        payload = sign(
            key,
            name=raw["name"],
            serial=serial,
            issued_ms=now,
            expires_ms=now + int(options.duration * 1000),
            pops=json.loads(json.dumps(pops)),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{options.list}: {error}") from error
    return _Signed(raw["name"], payload, f"catalogue {raw['name']}, serial {serial}, {len(pops)} PoPs")


def _checked(file: Path, raw: Mapping[str, Any]) -> None:
    """ValueError: gateways would not take it."""
    from steerd.config.catalogue.entries import OF_PATH, OF_POP

    for name in raw.keys() - _KEYS:
        raise ValueError(f"{file}: {name}: is not a known key; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(raw.get("name"), str):
        raise ValueError(f"{file}: name: is missing, and must be given: that of the catalogue")  # noqa: TRY004
    pops = raw.get("pop", [])
    if not isinstance(pops, list) or not all(isinstance(pop, dict) for pop in pops):
        raise ValueError(f"{file}: pop: must be a list of tables: [[pop]]")
    names: set[object] = set()
    for at, pop in enumerate(pops):
        for key in pop.keys() - {*OF_POP, *OF_PATH}:
            raise ValueError(f"{file}: pop[{at}].{key}: is not for a catalogue to say")
        if not isinstance(pop.get("name"), str) or pop["name"] in names:
            raise ValueError(f"{file}: pop[{at}].name: must be a name, and unique")
        names.add(pop["name"])


def _write(file: Path, payload: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    with new.open("wb") as stream:
        stream.write(payload + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
