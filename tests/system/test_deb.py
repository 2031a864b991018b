"""The packages: the same twice, complete for each Python and machine, and they run where they will lie."""

import contextlib
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run
from tests.system.package import PROJECT, built, distributed

PYTHONS = {"3.11": "Debian 12", "3.12": "Ubuntu 24.04", "3.13": "Debian 13"}
pytestmark = pytest.mark.deb


def members(package: Path) -> tarfile.TarFile:
    inside = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    return tarfile.open(fileobj=io.BytesIO(inside))


def control(package: Path, field: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", package, field], check=True, capture_output=True, text=True).stdout.strip()


def names(package: Path) -> dict[str, str]:
    """Mode and owner by name."""
    listed = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
    rows = (line.split(maxsplit=5) for line in listed.splitlines())
    return {row[5].partition(" -> ")[0].removeprefix("."): f"{row[0]} {row[1]}" for row in rows}


def test_two_builds_are_the_same_file(package, tmp_path):
    assert digest(built(tmp_path)) == digest(package)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_two_distributions_are_the_same_files(tmp_path):
    (tmp_path / "again").mkdir()
    once, again = distributed(tmp_path), distributed(tmp_path / "again")
    assert [digest(file) for file in once] == [digest(file) for file in again]


@pytest.mark.parametrize("kind", [0, 1], ids=["wheel", "sdist"])
def test_they_install_as_pipx_would(tmp_path, kind):
    """In an environment of its own, dependencies from the index; the sdist builds a wheel first."""
    file = distributed(tmp_path)[kind]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", file], check=True)
    for command, words in (("steerd", "check"), ("steerctl", "--help")):
        arguments = [words, PROJECT / "config/steerd.toml"] if command == "steerd" else [words]
        done = subprocess.run([tmp_path / "venv/bin" / command, *arguments], check=False, capture_output=True, cwd="/")
        assert done.returncode == 0, done.stderr


def test_the_bill_of_materials_names_what_is_inside(package):
    bill = json.loads(package.with_suffix(".cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == control(package, "Version")
    listed = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    locked = (PROJECT / "requirements/package.txt").read_text()
    for line in (line for line in locked.splitlines() if "==" in line and "sys_platform" not in line):
        name, version = line.split()[0].split("==")
        assert listed.pop(name) == version
    assert not listed
    with members(package) as tar:
        member = tar.extractfile("./usr/share/doc/steerd/sbom.cdx.json")
        assert member is not None
        assert json.load(member) == bill


def test_it_brings_what_it_should_and_nothing_of_the_machine_it_was_built_on(package):
    there = names(package)
    for name in (
        "/usr/bin/steerd", "/usr/bin/steerctl", "/opt/steerd/bin/python3", "/etc/steerd/steerd.toml",
        "/usr/lib/systemd/system/steerd.service", "/usr/lib/systemd/system/steerd-guard.service",
        "/usr/lib/sysusers.d/steerd.conf", "/usr/lib/tmpfiles.d/steerd.conf", "/usr/share/doc/steerd/copyright",
        "/usr/share/doc/steerd/examples/networkd.conf", "/usr/share/doc/steerd/examples/networkmanager.conf",
        "/usr/share/doc/steerd/sbom.cdx.json",
        "/usr/share/man/man8/steerd.8.gz", "/usr/share/man/man1/steerctl.1.gz", "/usr/share/man/man5/steerd.toml.5.gz",
        "/usr/share/bash-completion/completions/steerctl", "/usr/share/zsh/vendor-completions/_steerctl",
        "/usr/share/fish/vendor_completions.d/steerctl.fish",
        "/usr/share/doc/steerd/examples/mosquitto/make-certificates", "/usr/share/doc/steerd/examples/steerd.toml",
    ):  # fmt: skip
        assert name in there
    assert {mode.split()[1] for mode in there.values()} == {"root/root"}
    assert not [name for name in there if "__pycache__" in name or name.endswith("direct_url.json")]
    assert not [name for name in there if any(part in name for part in ("/hatchling/", "/pip/", "/pytest/"))]
    assert "conffiles" in subprocess.run(["dpkg-deb", "-I", package], check=True, capture_output=True, text=True).stdout
    assert control(package, "Package") == "steerd"


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_compiled_modules_are_there_for_each_python(package, tmp_path, architecture, machine):
    """In ``elf.h``'s numbers."""
    if control(package, "Architecture") != architecture:
        package = built(tmp_path, architecture)
    assert control(package, "Architecture") == architecture
    depends = control(package, "Depends")
    assert "python3 (>= 3.11), python3 (<< 3.14)" in depends
    found: dict[str, set[str]] = {}
    with members(package) as tar:
        site = "./opt/steerd/lib/python3.11/site-packages/"
        for member in tar:
            if not member.name.endswith(".so"):
                continue
            header = tar.extractfile(member).read(20)
            assert header[:4] == b"\x7fELF"
            assert int.from_bytes(header[18:20], "little") == machine
            module, tag = re.fullmatch(r"(.*?)\.(?:cpython-3)?(abi3|\d+)(?:-.*)?\.so", member.name).groups()
            found.setdefault(module.removeprefix(site), set()).add(tag)
        for version in list(PYTHONS)[1:]:
            assert tar.getmember(f"./opt/steerd/lib/python{version}").linkname == "python3.11"
    assert found.pop("nacl/_sodium") == {"abi3"}
    assert found
    assert all(tags == {version.removeprefix("3.") for version in PYTHONS} for tags in found.values()), found


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_scripts_are_scripts(script):
    subprocess.run(["sh", "-n", PROJECT / "packaging/deb" / script], check=True)


def interpreter(version: str) -> Path | None:
    """A release's own, or one by that name that works."""
    for name in (f"/usr/bin/python{version}", f"python{version}"):
        with contextlib.suppress(OSError):
            asked = [name, "-c", "import sys; print(sys.executable)"]
            done = subprocess.run(asked, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return Path(done.stdout.strip())
    return None


def unpacked(package: str, python: str) -> dict[str, Any]:
    """In place, in a mount namespace of its own, where that is the release's Python."""
    root = RUN / "root"
    subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/opt"], check=True)
    subprocess.run(["cp", "-a", root / "opt/steerd", "/opt/steerd"], check=True)
    place = Path("/opt/steerd")
    (place / "bin/python3").unlink()
    (place / "bin/python3").symlink_to(python)
    settings = (place / "pyvenv.cfg").read_text()
    (place / "pyvenv.cfg").write_text(settings.replace("home = /usr/bin\n", f"home = {Path(python).parent}\n"))

    def out(*command: str) -> list[Any]:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        return [done.returncode, done.stdout.strip(), done.stderr.strip()]

    return {
        "version": out("/opt/steerd/bin/steerd", "--version"),
        "check": out("/opt/steerd/bin/steerd", "check", str(root / "usr/share/doc/steerd/examples/steerd.toml")),
        "not yet": out("/opt/steerd/bin/steerd", "check", str(root / "etc/steerd/steerd.toml")),
        "steerctl": out("/opt/steerd/bin/steerctl", "--socket", "/none", "status"),
        "modules": out(
            "/opt/steerd/bin/python3", "-P", "-c",
            "import sys, scapy, nacl.signing, aiomqtt, pydantic, icmplib, steerd.daemon.daemon; "
            "print(sys.executable, '%d.%d' % sys.version_info[:2])",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("version", PYTHONS)
def test_it_runs_with_the_python_of(package, version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here, which {PYTHONS[version]} has")
    found = run(f"{__name__}:unpacked", str(package), str(python), timeout=60)
    assert found["version"][0] == 0
    assert control(package, "Version") in found["version"][1]
    assert found["check"][0] == 0, found["check"]
    assert found["not yet"][0] == 78
    assert "`steerd init` writes a first configuration" in found["not yet"][2]
    assert found["steerctl"][0] == 3
    assert found["modules"] == [0, f"/opt/steerd/bin/python3 {version}", ""]
