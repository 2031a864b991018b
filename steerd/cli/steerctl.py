"""`steerctl`: asks the running daemon, and gives it orders.

``--socket``, ``-c`` and ``--json`` may stand before or after the verb.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from steerd import __version__
from steerd.cli import catalogue, names, signing
from steerd.cli.terminal import concluded, prepare, say
from steerd.control.client import NotThereError, ask
from steerd.control.verbs import VERBS, Verb, duration

OK, FAILED, USAGE, NOT_THERE, CONFIG = 0, 1, 2, 3, 78
SOCKET = "/run/steerd/control.sock"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    prepare()
    options = command_line().parse_args(arguments)
    try:
        return concluded("steerctl", lambda: _code(options))
    except KeyboardInterrupt:
        return OK if options.verb == "watch" or getattr(options, "follow", False) else 130


def _code(options: argparse.Namespace) -> int:
    if options.verb == "names":
        return names.main(options.socket or SOCKET, options.kind)
    if options.verb not in VERBS:
        return catalogue.main(options) if options.verb in catalogue.VERBS else signing.main(options)
    if (found := _socket(options)) is None:
        return CONFIG
    options.socket = found
    if options.verb == "history" and options.follow:
        return _follow(options)
    return _watch(options) if options.verb == "watch" else _once(options)


def _socket(options: argparse.Namespace) -> str | None:
    """Where the daemon listens; None: the configuration that was named does not say it. Only that is read, which takes
    a while."""
    if options.socket or options.config is None:
        return options.socket or SOCKET
    from steerd.config.file.problem import ConfigError
    from steerd.config.gateway.load import load

    try:
        return str(load(options.config, complete=False).control_socket)
    except ConfigError as error:
        say(error, error=True)
        return None


def _once(options: argparse.Namespace) -> int:
    code, answer = _ask(VERBS[options.verb], options)
    if code == OK:
        say(_shown(options, answer))
    elif options.json:
        say(_json(answer))
    return code


def _watch(options: argparse.Namespace) -> int:
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() and not options.json else ""
    seen = 0
    while True:
        code, answer = _ask(VERBS[options.verb], options)
        if code != OK:
            if options.json:
                say(_json(answer, one_line=True))
            return code
        if clear:
            print(clear, end="")
        say(_shown(options, answer), flush=True)
        seen += 1
        if seen == options.count:
            return OK
        time.sleep(options.every)


def _follow(options: argparse.Namespace) -> int:
    from steerd.cli.follow import follow

    code, _ = _ask(VERBS["history"], options)  # no daemon, or it refuses: that is said at once
    if code == OK:
        follow(options)
    return code


def _ask(verb: Verb, options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    try:
        answer = ask(options.socket, verb.request(options), verb.timeout)
    except NotThereError as error:
        return _failed(NOT_THERE, str(error))
    except TimeoutError:
        return _failed(FAILED, f"{options.socket}: no answer in time; what was asked for may still be done")
    except OSError as error:
        return _failed(FAILED, f"{options.socket}: {error.strerror or error}")
    if answer.get("ok") is True:
        for warning in answer.get("warnings", ()):
            say(f"warning: {warning}", error=True)
        return OK, answer
    for problem in answer.get("problems", ()):
        say(problem, error=True)
    say(f"steerctl: {answer.get('error', 'refused')}", error=True)
    return CONFIG if answer.get("code") == CONFIG else FAILED, answer


def _failed(code: int, error: str) -> tuple[int, dict[str, Any]]:
    """What there is no answer to, in the shape of one: scripts read it with ``--json``."""
    say(f"steerctl: {error}", error=True)
    return code, {"ok": False, "code": code, "error": error}


def _shown(options: argparse.Namespace, answer: dict[str, Any]) -> str:
    if options.json:
        return _json(answer, one_line=options.verb == "watch")
    try:
        return VERBS[options.verb].shown(answer, options)
    except Exception as error:  # noqa: BLE001 (a steerd of another version may say anything)
        return f"the answer cannot be shown ({type(error).__name__}: {error}); --json has it as it came"


def _json(answer: dict[str, Any], *, one_line: bool = False) -> str:
    import json

    return json.dumps(answer, indent=None if one_line else 2)


def command_line() -> argparse.ArgumentParser:
    """Help, the manual page and the shells' completion are made from it."""
    parser = argparse.ArgumentParser(
        prog="steerctl",
        description="Asks the running steerd, and gives it orders.",
        epilog="Begin with `steerctl status`, then `steerctl why`. "
        "Exit codes: 0 done; 1 failed or refused; 2 usage; 3 no daemon there; 78 the configuration was refused.",
    )
    parser.add_argument("--version", action="version", version=f"steerctl {__version__}")
    _everywhere(parser, None, None, as_json=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        # What is not said behind the verb stays as it was said before it.
        _everywhere(made, argparse.SUPPRESS, argparse.SUPPRESS, as_json=argparse.SUPPRESS)
        return made

    for verb in VERBS.values():
        made = command(verb.name, verb.words)
        for one in verb.arguments:
            made.add_argument(*one.flags, **one.options)
    signing.add(command, duration)
    catalogue.add(command, duration)
    hidden = verbs.add_parser("names")  # without a help: for the shells' completion alone
    hidden.add_argument("kind", choices=names.KINDS)
    hidden.add_argument("--socket", default=argparse.SUPPRESS, metavar="PATH")
    return parser


def _everywhere(parser: argparse.ArgumentParser, socket: object, config: object, *, as_json: object) -> None:
    """What may stand before and after the verb, with its defaults."""
    parser.add_argument("--socket", default=socket, metavar="PATH", help=f"the daemon's socket (default: {SOCKET})")
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=config,
        metavar="FILE",
        help="the configuration that names the socket, or broker",
    )
    parser.add_argument("--json", action="store_true", default=as_json, help="the whole answer as JSON")


if __name__ == "__main__":
    sys.exit(main())
