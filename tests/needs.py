"""``python -m tests.needs ARGUMENTS``: the programs that those tests need which pytest runs with these arguments."""

import contextlib
import io
import sys
from collections.abc import Iterable, Sequence

import pytest

NEEDED = {
    "lab": ("ip", "nsenter"),
    "broker": ("mosquitto",),
    "nft": ("nft", "sysctl"),
    "fleet": ("openssl",),
    "prometheus": ("promtool", "prometheus", "nft"),
    "browser": ("mosquitto", "chromium", "chromedriver"),
    "manuals": ("ip", "nsenter", "man", "zsh", "fish"),
    "docs": ("ip", "nsenter", "wg", "wireguard-go", "openvpn", "openssl", "nft", "ping", "sysctl"),
    "wireguard": ("wg", "wireguard-go", "sysctl"),
    "deb": ("dpkg-deb",),
    "neighbours": ("nft",),
    "system": ("dpkg-deb", "nft", "systemd-nspawn"),
    "image": ("dpkg-deb", "nft", "podman"),
}
"""By marker."""


class _Collected:
    def __init__(self) -> None:
        self.needed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.needed = needed_by(mark.name for item in session.items for mark in item.iter_markers())


def needed_by(markers: Iterable[str]) -> set[str]:
    return {tool for marker in markers for tool in NEEDED.get(marker, ())}


def main(arguments: Sequence[str]) -> int:
    collected = _Collected()
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = pytest.main(["--collect-only", *arguments], plugins=[collected])
    if code:
        sys.stderr.write(told.getvalue())
    print(*sorted(collected.needed))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
