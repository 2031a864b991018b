"""`steerd fleet`: hears all gateways and PoPs, and shows them."""

import asyncio
from pathlib import Path

from steerd.cli.log import log_to_stderr
from steerd.cli.terminal import say
from steerd.config.fleet.load import load
from steerd.daemon.notify import notify
from steerd.fleet.inventory import InventoryError
from steerd.fleet.service import FleetService


def fleet(path: Path, *, only_check: bool, level: str) -> int:
    """Serve until SIGTERM, or ``only_check`` the configuration. Returns 0 after that, 1 if it cannot run. ConfigError:
    the configuration is wrong."""
    log_to_stderr(level)
    settings = load(path)
    try:
        service = FleetService(settings)
    except (OSError, InventoryError) as error:
        why = error if isinstance(error, InventoryError) else f"{error.filename}: {error.strerror}"
        say(f"steerd fleet: fleet.inventory: {why}", error=True)
        return 1
    if only_check:
        say(f"{path}: ok")
        return 0

    def started(where: str) -> None:
        say(where)
        notify(READY="1", STATUS=where)

    asyncio.run(service.run(started))
    notify(STOPPING="1")
    return 0
