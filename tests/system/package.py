"""The Debian package, made anew."""

import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def built(folder: Path) -> Path:
    made = subprocess.run(
        [PROJECT / "tools/deb", PROJECT / ".venv", folder], check=True, capture_output=True, text=True, timeout=300
    )
    return Path(made.stdout.splitlines()[-1])


def renumbered(package: Path, version: str, folder: Path) -> Path:
    """The same with another version."""
    tree = folder / "renumbered"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"Version: {version}\n" if x.startswith("Version:") else x + "\n" for x in lines))
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", "-z1", tree, folder], check=True, capture_output=True)
    return next(folder.glob(f"steerd_{version}_*.deb"))
