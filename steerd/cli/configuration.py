"""Reading the configuration for a command, and `steerd check FILE`: what is wrong with it goes to standard error."""

import sys
from pathlib import Path

from steerd.config.gateway.load import load
from steerd.config.prefixes import count
from steerd.config.problem import EX_CONFIG, ConfigError
from steerd.config.settings import Config


def read(path: Path, *, require_pops: bool = True) -> Config | None:
    """The configuration, or None if it has mistakes; either way they and the warnings are printed."""
    try:
        config = load(path, require_pops=require_pops)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return None
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return config


def check(path: Path) -> int:
    """Prints what is wrong with the file, or what it holds; returns the exit code, 0 or 78."""
    config = read(path)
    if config is None:
        return EX_CONFIG
    prefixes = sum(count(policy.prefixes) for policy in config.route.policies)
    parts = (
        _counted(len({path.pop for path in config.core.paths}), "PoP", "PoPs"),
        _counted(len(config.core.paths), "path", "paths"),
        _counted(len(config.core.policies), "policy", "policies"),
        _counted(prefixes, "prefix", "prefixes"),
    )
    print(f"{path}: ok ({', '.join(parts)})")
    return 0


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
