"""A program's options and commands, as its argument parser has them."""

import argparse
import re
from collections.abc import Iterator

from tools.manuals.troff import bold, italic, item, words


def roff(parser: argparse.ArgumentParser) -> str:
    """Its sections OPTIONS and COMMANDS."""
    common = {flag for action in _options(parser) for flag in action.option_strings}
    text = ".SH OPTIONS\nThey may stand before or behind the command.\n"
    text += "".join(_argument(action) for action in _options(parser))
    text += ".SH COMMANDS\n"
    for name, command in _commands(parser).items():
        text += _command(name, command, common)
    return text


def _command(name: str, parser: argparse.ArgumentParser, common: set[str]) -> str:
    own = [action for action in _options(parser) if not common & set(action.option_strings)]
    orders = _commands(parser)
    text = f".SS {_synopsis(name, parser, own)}\n{words(parser.description or '')}\n"
    for order, one in orders.items():
        text += item(_synopsis(order, one, []), words(one.description or ""))
        own = own or [action for action in _options(one) if not common & set(action.option_strings)]
    return text + "".join(_argument(action) for action in [*_positionals(parser), *own])


def _synopsis(name: str, parser: argparse.ArgumentParser, options: list[argparse.Action]) -> str:
    parts = [bold(name), *(["[options]"] if options else []), *(_placed(action) for action in _positionals(parser))]
    return " ".join([*parts, *([italic("ORDER")] if _commands(parser) else [])])


def _placed(action: argparse.Action) -> str:
    value = italic(_value(action))
    return {"?": f"[{value}]", "+": f"{value}...", "*": f"[{value}...]"}.get(str(action.nargs), value)


def _argument(action: argparse.Action) -> str:
    """A positional argument, or an option with its value."""
    if not action.option_strings:
        return item(italic(_value(action)), words(_help(action)))
    value = "" if action.nargs == 0 else f" {_placed(action)}"
    return item(", ".join(bold(flag) + value for flag in action.option_strings), words(_help(action)))


def _value(action: argparse.Action) -> str:
    """What stands for the value, as `--help` calls it."""
    if action.choices is not None and action.metavar is None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    listed = re.match(r"[\w-]+[,.]", text)  # of words that are typed so
    return f"{text[:1] if listed else text[:1].upper()}{text[1:]}." if text else ""


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    skipped = argparse._HelpAction | argparse._SubParsersAction  # noqa: SLF001
    return [action for action in _actions(parser) if action.option_strings and not isinstance(action, skipped)]


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in _actions(parser)
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    ]


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.help != argparse.SUPPRESS)  # noqa: SLF001


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            shown = {one.dest for one in action._choices_actions}  # noqa: SLF001
            return {name: command for name, command in action.choices.items() if name in shown}
    return {}
