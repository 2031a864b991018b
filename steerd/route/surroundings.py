"""What routing learns from what is around it. Synchronous: runs on routing's worker thread."""

from typing import Self

from steerd.config.settings import RouteSettings
from steerd.route.gateways import Gateways, automatic, learn, resolve
from steerd.route.main_table import MainTable


class Surroundings:
    """Reads, never writes. ``gateways`` are those known as of the last look."""

    def __init__(self) -> None:
        self.gateways: Gateways = {}
        self._main_table = MainTable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._main_table.close()

    def resolve(self, settings: RouteSettings) -> RouteSettings:
        """The settings in effect now. Raises `NetlinkError`."""
        if not automatic(settings):
            return settings
        self.gateways = learn(self._main_table.read(), self.gateways)
        return resolve(settings, self.gateways)
