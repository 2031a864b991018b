"""`steerd agent`: a PoP says how it is, and answers probes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from steerd.agent.agent import REFUSALS, Agent
from steerd.cli.log import log_to_stderr
from steerd.cli.terminal import say
from steerd.config.agent.load import load
from steerd.config.agent.settings import AgentSettings
from steerd.daemon.notify import notify


def agent(path: Path, *, only_check: bool, level: str) -> int:
    """Run until SIGTERM, or ``only_check`` the configuration. Returns 0 after that, 1 if it cannot run. ConfigError:
    the configuration is wrong."""
    log_to_stderr(level)
    settings = load(path)
    for warning in settings.warnings:
        say(f"warning: {warning}", error=True)
    if only_check:
        say(f"{path}: ok")
        return 0

    def told(how: str) -> None:
        say(how)
        notify(READY="1", STATUS=how)

    try:
        asyncio.run(_run(settings, told))
    except REFUSALS as error:
        say(f"steerd agent: {error}", error=True)
        return 1
    return 0


async def _run(settings: AgentSettings, told: Callable[[str], None]) -> None:
    await Agent(settings, told, lambda: notify(STOPPING="1")).run()
