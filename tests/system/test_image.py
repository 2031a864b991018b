"""The image, built as docs/service.md says but from a tree of ours, and run by podman as the gateway of a world."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.waiting import until
from tests.system import gateway
from tests.system.gateway import moved, ours
from tests.system.machine import TREE
from tests.system.package import PROJECT

pytestmark = [pytest.mark.image, pytest.mark.lab, pytest.mark.broker]

IMAGE = "localhost/steerd"
FLAGS = (
    "--network=host", "--read-only", "--cap-drop=all", "--cap-add=NET_ADMIN,NET_RAW",
    "-v=/etc/steerd:/etc/steerd:ro", "-v=/var/lib/steerd:/var/lib/steerd",
)  # fmt: skip
"""As docs/service.md has them."""


class Podman:
    """With a store of its own. ``run`` returns what is printed."""

    def __init__(self, store: Path, *within: str) -> None:
        places = (f"--root={store}/root", f"--runroot={store}/run", f"--tmpdir={store}/tmp", "--storage-driver=vfs")
        self._command = [*within, "podman", *places, "--cgroup-manager=cgroupfs"]

    def run(self, *words: str, check: bool = True) -> str:
        command = [*self._command, *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def store(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where podman has the image."""
    folder = tmp_path_factory.mktemp("podman")
    podman = Podman(folder)
    subprocess.run(["tar", "-C", TREE, "-cf", folder / "base.tar", "."], check=True)
    podman.run("import", str(folder / "base.tar"), "localhost/base")
    given = (f"--build-arg=DEB={package.name}", "--build-arg=BASE=localhost/base", "--pull-never", "--isolation=chroot")
    file = PROJECT / "packaging/Containerfile"
    podman.run("build", "-q", *given, "-f", str(file), "-t", IMAGE, str(package.parent))
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def steered(store: str) -> Any:
    """Started, made anew as for another image, stopped, cleaned up."""
    # Machines with cgroups of both versions have no place for a container's; ours needs none.
    if Path("/sys/fs/cgroup/unified").exists():
        subprocess.run(["mount", "--bind", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"], check=True)
    with World(full_tunnel=True, rate=100) as world:
        podman = Podman(Path(store), "nsenter", "--net=/run/netns/gw")
        flags = [flag.replace("v=/", f"v={world.directory}/") for flag in (*FLAGS, "--cgroups=disabled")]
        for name in ("etc/steerd", "var/lib/steerd"):
            (world.directory / name).mkdir(parents=True)
        (world.directory / "etc/steerd/steerd.toml").write_text(gateway.config(world))

        def start() -> None:
            podman.run("run", "-d", "--name=steerd", "--replace", *flags, IMAGE)
            status = ("exec", "steerd", "steerctl", "status", "--json")
            until(lambda: '"choice": "fra1/tun-fra1"' in podman.run(*status, check=False))

        def end() -> None:
            podman.run("stop", "steerd")
            podman.run("rm", "steerd")

        start()
        found = {"guard": "steerd" in podman.run("exec", "steerd", "nft", "list", "tables")}
        found["reload"] = podman.run("exec", "steerd", "steerctl", "reload")
        held, began = ours(), time.monotonic()
        end()
        start()
        found["adopted"] = "adopted fra1/tun-fra1 from the kernel" in podman.run("logs", "steerd")
        found["moved"] = moved(ours(), held)
        end()
        users = world.traffic.between(began, time.monotonic() - 0.3)
        found |= {"by": users.by_pop, "lost": users.lost, "leaked": world.outside.leaked(began)}
        podman.run("run", "--rm", *flags, IMAGE, "cleanup", "-c", "/etc/steerd/steerd.toml")
        return found | {"left": ours()}


def test_a_container_steers_and_another_takes_over(store: Path) -> None:
    found = run(f"{__name__}:steered", str(store), timeout=300)
    assert found["guard"]
    assert found["reload"].startswith("reloaded")
    assert found["adopted"]
    assert found["moved"] == []
    assert set(found["by"]) == {"fra1"}
    assert found["lost"] == 0
    assert found["leaked"] == 0
    assert found["left"] == []
