"""The real daemon, one of whose stages fails when a file says so: ``python -m tests.lab.faulty CONFIG FAULT``.

The file FAULT has a stage's place and a point: ``before`` it prepares, ``prepared`` (what it has to commit fails at
once), ``committed`` (it fails when all is done). Without the file nothing fails; a place that no stage has is no fault.
"""

import asyncio
import sys
from pathlib import Path

from steerd.cli.log import log_to_stderr
from steerd.config.change import StageError
from steerd.config.gateway.load import load
from steerd.daemon.daemon import Daemon
from steerd.store.store import Store


class UnexpectedError(Exception):
    """No stage expects it."""


class Faulty:
    """A stage's change; ``asked`` says whether it fails at a point."""

    def __init__(self, change, asked):
        self.change = change
        self.asked = asked
        self.abort = change.abort

    async def commit(self):
        if self.asked("prepared"):
            raise UnexpectedError("before its commit")
        await self.change.commit()
        if self.asked("committed"):
            raise StageError("after its commit")


def faulty(place, prepare, file):
    def asked(point):
        return file.exists() and file.read_text() == f"{place} {point}"

    async def prepared(config):
        if asked("before"):
            raise StageError("before it prepared")
        return Faulty(await prepare(config), asked)

    return prepared


async def serve(settings, store, fault):
    daemon = Daemon(settings, store, store.open())
    daemon.stages = tuple(faulty(place, prepare, fault) for place, prepare in enumerate(daemon.stages))
    await daemon.run()


def main(config, fault):
    log_to_stderr("info")
    settings = load(config)
    asyncio.run(serve(settings, Store(settings.store_path), fault))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
