"""`steerd check --live` in a lab, and its cures applied to the letter."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN
from steerd.lab.world.world import World
from tests.lab.waiting import until

FILE = RUN / "steerd.toml"
ENOUGH = 15
"""Datagrams of each family that must be answered."""


def command(*arguments: str, file: Path = FILE) -> list[str]:
    live = [sys.executable, "-m", "steerd.cli.steerd", "check", "--live", "-c", str(file), *arguments]
    return namespaces.command("gw", live)


def check(file: Path = FILE) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and the findings."""
    done = subprocess.run(command("--json", file=file), capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def shell(text: str, namespace: str = "gw") -> str:
    done = subprocess.run(
        namespaces.command(namespace, ["sh", "-ec", text]), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (text, done.stderr)
    return done.stdout


def cure(finding: dict[str, str], file: Path = FILE) -> None:
    """Do what the finding says: run its command, or write its key into the file."""
    if finding["by"] == "run":
        shell(finding["cure"])
        return
    assert finding["by"] == "set", finding
    file.write_text(written(file.read_text(), finding["place"], finding["cure"]))


def written(text: str, place: str, pair: str) -> str:
    """The file with a key of the finding's place written as the cure has it."""
    key, _, value = pair.partition(" = ")
    if "." in key:
        table, key = key.split(".")
        head = f"[{table}]\n"
        text = text if head in text else f"{head}{text}"
        at = text.index(head) + len(head)
        end = text.find("\n[", at)
        block = text[at : end if end >= 0 else len(text)]
        return text.replace(head + block, head + _line(block, key, value))
    kind, name = place.partition(",")[0].split(" ", 1)
    if kind == "policy":
        blocks = text.split("[[policy]]\n")
        found = next(block for block in blocks if block.startswith(f'name = "{name}"\n'))
        rest = found.removeprefix(f'name = "{name}"\n')
        return text.replace(found, f'name = "{name}"\n' + _line(rest, key, value))
    pop = name.split("/")[0]
    found = re.search(rf'\[\[pop\]\]\nname = "{pop}"\n.*?paths = \[.*?\]\n', text, re.DOTALL)[0]
    entry = re.search(r"\{.*\}", found)[0]
    changed = re.sub(rf'\b{key} = "[^"]*"', pair, entry)
    if changed == entry:
        changed = entry.replace("{ ", f"{{ {pair}, ", 1)
    return text.replace(found, found.replace(entry, changed))


def _line(block: str, key: str, value: str) -> str:
    line = f"{key} = {value}\n"
    changed = re.sub(rf"^{key} = .*\n", lambda _: line, block, flags=re.MULTILINE)
    return changed if changed != block else line + block


def arrives(world: World, *families: int) -> None:
    """The users' datagrams are answered, from now on."""
    began = time.monotonic()
    for family in families or (4, 6):
        until(
            lambda family=family: world.traffic.between(began, family=family).answered >= ENOUGH,
            what=f"answers to IPv{family} of users",
            told=lambda: str(world.traffic.between(began)),
        )


def fails(world: World, family: int) -> None:
    """The users' datagrams are lost, from now on."""
    began = time.monotonic()
    until(lambda: world.traffic.between(began, family=family).lost >= ENOUGH, what=f"lost IPv{family} of users")
