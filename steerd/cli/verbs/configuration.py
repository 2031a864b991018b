"""Reading the configuration for a command, and `steerd check FILE`: what is wrong with it goes to standard error."""

from pathlib import Path

from steerd.cli.terminal import say
from steerd.config.file.problem import EX_CONFIG, ConfigError
from steerd.config.gateway.load import load
from steerd.config.prefixes import count
from steerd.config.settings import Config


def read(path: Path, *, complete: bool = True) -> Config:
    """The configuration, as `load`; its warnings are printed. ConfigError: it has mistakes, or cannot be read."""
    return warned(load(path, complete=complete))


def warned(config: Config) -> Config:
    """The same, once its warnings are printed."""
    for warning in config.warnings:
        say(f"warning: {warning}", error=True)
    return config


def check(path: Path) -> int:
    """Prints what is wrong with the file, or what it holds; returns the exit code, 0 or 78."""
    try:
        config = read(path)
    except ConfigError as error:
        say(error, error=True)
        return EX_CONFIG
    prefixes = sum(count(policy.prefixes) for policy in config.route.policies)
    parts = (
        _counted(len({path.pop for path in config.core.paths}), "PoP", "PoPs"),
        _counted(len(config.core.paths), "path", "paths"),
        _counted(len(config.core.policies), "policy", "policies"),
        _counted(prefixes, "prefix", "prefixes"),
    )
    say(f"{path}: ok ({', '.join(parts)})")
    return 0


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
