"""`steerctl keygen`, `sign` and `send`: orders to a fleet. They need no daemon."""

import argparse
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from steerd.cli.terminal import say

OK, FAILED, USAGE, CONFIG = 0, 1, 2, 78
CONFIGURATION: Final = Path("/etc/steerd/steerd.toml")
_DEFAULT: Final = "~/.config/steerd/order.key"
EARLIER: Final = 60.0
"""Seconds before the signing from which an order is valid: the gateways' clocks are not ours."""

_AUDIENCE: Final = re.compile(r"all|(region|gw)/[^/+#\s]+")
_KEY_MAX: Final = 4096  # bytes of the secret key's file
_NAME: Final = re.compile(r"[^/+#\s]{1,256}")


def key_file() -> Path:
    """Where the secret key is, unless said otherwise."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "steerd" / "order.key"


def add(verb: Callable[[str, str], argparse.ArgumentParser], duration: Callable[[str], float]) -> None:
    """The verbs' arguments."""
    keygen = verb("keygen", "make a key that signs orders, and print the public one for `trusted_keys`")
    keygen.add_argument("key", nargs="?", type=Path, metavar="FILE", help=f"for the secret key (default: {_DEFAULT})")
    for name, text in (
        ("sign", "sign an order to many gateways, and print its topic and its payload"),
        ("send", "sign an order to many gateways, and publish it"),
    ):
        order = verb(name, text)
        orders = order.add_subparsers(dest="order", required=True, metavar="ORDER")
        for what, subjects, about in (
            ("drain", ("pop",), "leave this PoP while there is another"),
            ("undrain", ("pop",), "the PoP may be used again"),
            ("pin", ("policy", "pop"), "keep a policy on a PoP while that is up"),
            ("unpin", ("policy",), "the policy is free again"),
        ):
            one = orders.add_parser(what, help=about, description=f"{about[0].upper()}{about[1:]}.")
            for subject in subjects:
                one.add_argument(subject, type=_name)
            one.add_argument("--to", required=True, type=_audience, metavar="WHOM", help="all, region/R or gw/NAME")
            one.add_argument("--for", dest="duration", type=duration, default=3600.0, metavar="1h",
                             help="then it ends by itself (default: 1h, at most 31d)")  # fmt: skip
            one.add_argument("--after", type=duration, default=None, metavar="10m",
                             help="not before so much time has passed (default: at once)")  # fmt: skip
            one.add_argument("--key", type=Path, metavar="FILE", help=f"the secret key (default: {_DEFAULT})")
            one.add_argument("--tenant", type=_name, help="default: the configuration's")
            one.add_argument("-c", "--config", type=Path, default=argparse.SUPPRESS, metavar="FILE",
                             help=f"with an [mqtt] table (default: {CONFIGURATION})")  # fmt: skip
            one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="the answer as JSON")


def main(options: argparse.Namespace) -> int:
    """Runs one of them; returns the exit code."""
    try:
        return _keygen(options) if options.verb == "keygen" else _order(options)
    except Stop as stop:
        say(f"steerctl: {stop}", error=True)
        return stop.code


class Stop(Exception):  # noqa: N818 (no error by itself: it ends the command)
    """The command ends with this message and exit ``code``."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def _keygen(options: argparse.Namespace) -> int:
    from steerd.share.signing import generate, key_id, public_text, secret_text

    file, key = options.key or key_file(), generate()
    try:
        if options.key is None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Stop(f"{file} is there already; a key is not overwritten") from error
    except OSError as error:
        raise Stop(f"{file}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secret_text(key))
    except OSError as error:
        file.unlink()  # a part of a key is none, and would not be overwritten
        raise Stop(f"{file}: {error.strerror}") from error
    public = public_text(key.verify_key)
    if options.json:
        say(json.dumps({"ok": True, "file": str(file), "key": key_id(key.verify_key), "public": public}))
    else:
        say(public)
        say(f"steerctl: {file} has the secret key; the line above goes into mqtt.trusted_keys", error=True)
    return OK


def _order(options: argparse.Namespace) -> int:
    from steerd.config.file.files import content
    from steerd.share.signing import LASTS_MAX, WantedState, secret, sign

    file = options.key or key_file()
    try:
        key = secret(content(file, _KEY_MAX).decode(errors="replace"))
    except OSError as error:
        raise Stop(f"{file}: {error.strerror}; `steerctl keygen` makes a key") from error
    except ValueError as error:
        raise Stop(f"{file} {error}") from error
    settings: Any = None if options.verb == "sign" and options.tenant else broker(options.config or CONFIGURATION)
    now = time.time()
    begins = now - EARLIER if options.after is None else now + options.after
    ends = now + (options.after or 0.0) + options.duration
    if ends - now > LASTS_MAX:
        raise Stop("--for: an order lasts at most 31d", USAGE)
    about_pop = options.order in {"drain", "undrain"}
    order = WantedState(
        tenant=options.tenant or settings.tenant,
        to=options.to,
        pop=options.pop if about_pop else None,
        policy=None if about_pop else options.policy,
        drained=options.order == "drain" if about_pop else None,
        pin=options.pop if options.order == "pin" else None,
        counter=int(now * 1000),
        nbf_ms=int(begins * 1000),
        exp_ms=int(ends * 1000),
    )
    topic, payload = f"steer/v1/{order.tenant}/{order.topic}", sign(key, order)
    if options.verb == "send":
        send(settings, topic, payload, ends - now)
    if options.json:
        answer = {
            "ok": True,
            "topic": topic,
            "payload": payload.decode(),
            "content_type": "application/json",
            "exp_ms": order.exp_ms,
        }
        say(json.dumps(answer))
    elif options.verb == "sign":
        say(f"{topic}\n{payload.decode()}")
    else:
        say(f"sent to {topic}, until {time.strftime('%Y-%m-%d %H:%M:%S %z', time.localtime(ends))}")
    return OK


def send(settings: Any, topic: str, payload: bytes, expiry: float, kind: str = "application/json") -> None:
    """Publish it, retained, and wait until the broker has it. Stop: it cannot be had."""
    import asyncio

    from aiomqtt import MqttError

    from steerd.share.mqtt.client import post

    where = f"{settings.host}:{settings.port}"
    try:
        asyncio.run(post(settings, topic, payload, expiry, kind))
    except PermissionError as error:
        raise Stop(f"the broker at {where} refuses: {error}" if not error.filename else str(error)) from error
    except TimeoutError as error:
        raise Stop(f"the broker at {where} does not answer; it may still have got there all the same") from error
    except (MqttError, OSError, ValueError) as error:
        raise Stop(f"the broker at {where}: {error}") from error


def broker(file: Path) -> Any:
    """The `[mqtt]` of a configuration. Stop: there is none."""
    from steerd.config.file.problem import ConfigError
    from steerd.config.gateway.load import load

    try:
        config = load(file)
    except ConfigError as error:
        for problem in error.problems:
            say(problem, error=True)
        raise Stop(
            "which tenant and which broker: give -c FILE with an [mqtt] table (to sign an order, --tenant will do)",
            CONFIG,
        ) from error
    if config.mqtt is None:
        raise Stop(f"{file} has no [mqtt] table", CONFIG)
    return config.mqtt


def _audience(text: str) -> str:
    if not _AUDIENCE.fullmatch(text):
        raise argparse.ArgumentTypeError("must be all, region/REGION or gw/NAME")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("must be a name, without blanks, /, + and #")
    return text
