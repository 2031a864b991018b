"""`steerd check FILE`: every problem of a configuration, at once."""

from pathlib import Path

from steerd.cli.configuration import read
from steerd.config.prefixes import count
from steerd.config.problem import EX_CONFIG


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
