"""The packages, made anew."""

import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def built(folder: Path, *architecture: str) -> Path:
    return Path(_made("deb", folder, *architecture).splitlines()[-1])


def distributed(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist."""
    _made("dist", folder)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def _made(tool: str, folder: Path, *words: str) -> str:
    command = [PROJECT / "tools" / tool, PROJECT / ".venv", folder, *words]
    environment = os.environ | {"LEVEL": "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env=environment).stdout


def renumbered(package: Path, version: str, folder: Path) -> Path:
    """The same with another version."""
    tree = folder / "renumbered"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"Version: {version}\n" if x.startswith("Version:") else x + "\n" for x in lines))
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", "-z1", tree, folder], check=True, capture_output=True)
    return next(folder.glob(f"steerd_{version}_*.deb"))
