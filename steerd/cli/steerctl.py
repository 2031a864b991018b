"""`steerctl`: asks the running daemon, and gives it orders."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from steerd.cli import signing
from steerd.text.durations import parse

OK, FAILED, USAGE, NOT_THERE, CONFIG = 0, 1, 2, 3, 78
SOCKET = "/run/steerd/control.sock"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb in {"keygen", "sign", "send"}:
            code = signing.main(options)
        else:
            code = _watch(options) if options.verb == "watch" else _once(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return OK if options.verb == "watch" else 130
    return code


def _once(options: argparse.Namespace) -> int:
    code, answer = _ask(options)
    if code == OK:
        print(_shown(options, answer))
    elif options.json:
        print(_json(answer))
    return code


def _watch(options: argparse.Namespace) -> int:
    import time

    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() and not options.json else ""
    seen = 0
    while True:
        code, answer = _ask(options)
        if code != OK:
            if options.json:
                print(_json(answer, one_line=True))
            return code
        print(f"{clear}{_shown(options, answer)}", flush=True)
        seen += 1
        if seen == options.count:
            return OK
        time.sleep(options.every)


def _ask(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from steerd.control.client import NotThereError, ask

    try:
        answer = ask(options.socket, _request(options))
    except NotThereError as error:
        return _failed(NOT_THERE, str(error))
    except TimeoutError:
        return _failed(FAILED, f"{options.socket}: no answer in time; what was asked for may still be done")
    except OSError as error:
        return _failed(FAILED, f"{options.socket}: {error.strerror or error}")
    if answer.get("ok") is True:
        return OK, answer
    for problem in answer.get("problems", ()):
        print(problem, file=sys.stderr)
    print(f"steerctl: {answer.get('error', 'refused')}", file=sys.stderr)
    return CONFIG if answer.get("code") == CONFIG else FAILED, answer


def _failed(code: int, error: str) -> tuple[int, dict[str, Any]]:
    """What there is no answer to, in the shape of one: scripts read it with ``--json``."""
    print(f"steerctl: {error}", file=sys.stderr)
    return code, {"ok": False, "code": code, "error": error}


def _request(options: argparse.Namespace) -> dict[str, Any]:
    request = {
        key: value
        for key in ("policy", "pop", "path", "hard", "since", "confirm")
        if (value := getattr(options, key, None)) not in (None, False)
    }
    if getattr(options, "duration", None) is not None:
        request["for"] = options.duration
    return {"verb": "status" if options.verb == "watch" else options.verb, **request}


def _shown(options: argparse.Namespace, answer: dict[str, Any]) -> str:
    if options.json:
        return _json(answer, one_line=options.verb == "watch")
    from steerd.control import tables

    if options.verb in {"status", "watch"}:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return tables.status(answer, colour=colour, every=options.all)
    if options.verb == "why":
        return tables.why(answer, verbose=options.verbose)
    if options.verb == "history":
        return tables.history(answer)
    if options.verb == "trace":
        return tables.trace(answer)
    if options.verb == "plan":
        return tables.plan(answer)
    lines = [*answer.get("warnings", ()), str(answer.get("text", "done"))]
    return "\n".join(lines)


def _json(answer: dict[str, Any], *, one_line: bool = False) -> str:
    import json

    return json.dumps(answer, indent=None if one_line else 2, ensure_ascii=False)


def _duration(text: str) -> float:
    try:
        seconds = parse(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not seconds > 0:
        raise argparse.ArgumentTypeError("must be more than nothing")
    return seconds


def _confirmable(text: str) -> float:
    from steerd.control.orders import confirmable

    try:
        return confirmable(_duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="steerctl",
        description="Asks the running steerd, and gives it orders.",
        epilog="Exit codes: 0; 1 failed or refused; 2 usage; 3 no daemon there; 78 the configuration was refused.",
    )
    parser.add_argument("--socket", default=SOCKET, metavar="PATH", help=f"the daemon's socket (default: {SOCKET})")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("--json", action="store_true", help="the whole answer as JSON")
        return made

    def verb(name: str, text: str) -> Callable[..., argparse.Action]:
        return command(name, text).add_argument

    every = {"dest": "all", "action": "store_true", "help": "list every path, however many scouts there are"}
    verb("status", "policies and paths: choice, RTT, jitter, loss, cost, state")("-v", "--all", **every)
    why = verb("why", "the last decision in plain words, or any decision of `history`: what won, by how much, and why")
    why("policy", nargs="?", metavar="POLICY|EVENT", help="default: every policy")
    why("-v", "--verbose", action="store_true", help="every figure: costs term by term, rules, scouts")
    verb("history", "switches, newest first")(
        "--since", type=_duration, default=86400.0, metavar="1h", help="how far back (default: 1d)"
    )
    watch = verb("watch", "status, redrawn until interrupted")
    watch("-v", "--all", **every)
    watch("--every", type=_duration, default=1.0, metavar="1s", help="between two looks (default: 1s)")
    watch("--count", type=int, default=0, metavar="N", help="end after so many looks (default: never)")
    pin = verb("pin", "keep a policy on a PoP; a soft pin is left while that is down")
    pin("policy")
    pin("pop")
    pin("--for", dest="duration", type=_duration, metavar="1h", help="then the pin ends by itself")
    pin("--hard", action="store_true", help="stay, even when it is down")
    verb("unpin", "end a pin")("policy")
    drain = verb("drain", "do not use a PoP")
    drain("pop")
    drain("--for", dest="duration", type=_duration, metavar="1h", help="then the drain ends by itself")
    verb("undrain", "end a drain")("pop")
    trace = verb("trace", "the way to a PoP hop by hop: where it goes wrong, and what fits through")
    trace("pop")
    trace("--path", metavar="NAME", help="this one only (default: all paths to the PoP, in turn)")
    reload = verb("reload", "read the configuration again, as SIGHUP; waits until it is in force")
    reload("--confirm", type=_confirmable, metavar="60s", help="then back to what was in force, unless confirmed")
    verb("confirm", "keep what `reload --confirm` has put into force")
    signing.add(command, _duration)
    verb("plan", "what a reload would change in the kernel, in order, as commands; changes nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
