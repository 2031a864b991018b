"""Reading the configuration for a command: its warnings and its mistakes go to standard error."""

import sys
from pathlib import Path

from steerd.config.gateway.load import load
from steerd.config.problem import ConfigError
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
