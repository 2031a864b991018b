"""`steerd check FILE`: every problem of a configuration, at once."""

import sys
from pathlib import Path

from steerd.config.load import load
from steerd.config.prefixes import count
from steerd.config.problem import EX_CONFIG, ConfigError


def check(path: Path) -> int:
    """Prints what is wrong with the file, or what it holds; returns the exit code, 0 or 78."""
    try:
        config = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
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
