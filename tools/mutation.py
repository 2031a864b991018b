"""usage: tools/mutation.py [MODULE ...]: mutates modules of steerd.core and runs their tests against each mutant.

Prints what became of the mutants. Fails if fewer than `SHARE` of a module's die, if one lives that
docs/development/mutation.md does not name, or if one that it names does not live. What is mutated, and which tests run,
is in pyproject.toml.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

SHARE = 0.9
ROOT = Path(__file__).parent.parent
NAMED = ROOT / "docs" / "development" / "mutation.md"
FOLDER = ROOT / "mutants"
KILLED = {"killed", "segfault"}
TIMEOUT = "timeout"


class Survivor(NamedTuple):
    """Where a mutant lives, and what it changes; lines without their indentation."""

    function: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"# {self.function}", *(f"- {line}" for line in self.before), *(f"+ {line}" for line in self.after)]
        )


def main(modules: list[str]) -> int:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]["only_mutate"]
    dotted = {Path(path).stem: ".".join(Path(path).with_suffix("").parts) for path in written}
    known = list(dotted)
    if unknown := set(modules) - set(known):
        print(f"not mutated: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    modules = modules or known
    if not mutate([dotted[module] for module in modules]):
        return 2
    outcomes = results()
    weak = table({module: [status for name, status in outcomes.items() if of(name) == module] for module in modules})
    living = Counter(
        difference(name)
        for name, status in outcomes.items()
        if of(name) in modules and status not in KILLED and status != TIMEOUT
    )
    named = Counter(one for one in accepted(NAMED.read_text()) if one.function.split(".")[0] in modules)
    report(f"not named in {NAMED.relative_to(ROOT)}", living - named)
    report(f"named in {NAMED.relative_to(ROOT)}, but dead or gone", named - living)
    if weak:
        print(f"\nfewer than {SHARE:.0%} die: {', '.join(weak)}")
    return int(bool(weak) or living != named)


def mutate(modules: list[str]) -> bool:
    """Run them all anew, by their full names: verdicts of an earlier run may be those of other tests."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    jobs = os.environ.get("JOBS") or str(os.cpu_count())
    command = ["run", "--max-children", jobs, *(f"{module}.*" for module in modules)]
    # Its progress is for a terminal.
    done = mutmut(*command, quiet=not sys.stdout.isatty())
    if done.returncode:
        print(done.stdout or "", file=sys.stderr)
    return not done.returncode


def mutmut(*arguments: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mutmut", *arguments]
    if not quiet:
        return subprocess.run(command, cwd=ROOT, text=True, check=False)
    return subprocess.run(command, cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def results() -> dict[str, str]:
    """Each mutant's name and what became of it."""
    lines = mutmut("results", "--all", "true").stdout.splitlines()
    return dict(line.strip().split(": ") for line in lines if ": " in line)


def of(name: str) -> str:
    """The module of a mutant: ``steerd.core.belief.health.xǁHealthǁ_hold__mutmut_12``."""
    return name.split(".")[-2]


def difference(name: str) -> Survivor:
    before: list[str] = []
    after: list[str] = []
    for line in mutmut("show", name).stdout.splitlines():
        if line.startswith("-") and not line.startswith("--- "):
            before.append(line[1:].strip())
        elif line.startswith("+") and not line.startswith("+++ "):
            after.append(line[1:].strip())
    function = (
        re.sub(r"x_|xǁ", "", name.rsplit(".", maxsplit=1)[-1], count=1).rsplit("__mutmut_", 1)[0].replace("ǁ", ".")
    )
    return Survivor(f"{of(name)}.{function}", tuple(before), tuple(after))


def accepted(text: str) -> Iterator[Survivor]:
    """Those that a document names, in its blocks of diffs."""
    for block in re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        function = ""
        before: tuple[str, ...] = ()
        for mark, lines in groupby(block.splitlines(), lambda line: line[:2]):
            written = tuple(line[2:] for line in lines)
            if mark == "# ":
                function = written[-1]
            elif mark == "- ":
                before = written
            elif mark == "+ ":
                yield Survivor(function, before, written)


def table(outcomes: dict[str, list[str]]) -> list[str]:
    """Print it. Returns the modules of which too few die."""
    print("| module        | mutants | killed | survived | timeout | share  |")
    print("| ------------- | ------: | -----: | -------: | ------: | -----: |")
    weak = []
    for module, statuses in outcomes.items():
        killed, timeout = sum(status in KILLED for status in statuses), statuses.count(TIMEOUT)
        share = (killed + timeout) / max(1, len(statuses))
        lived = len(statuses) - killed - timeout
        print(f"| {module:13} | {len(statuses):7} | {killed:6} | {lived:8} | {timeout:7} | {share:6.1%} |")
        if share < SHARE:
            weak.append(module)
    return weak


def report(what: str, survivors: Counter[Survivor]) -> None:
    if survivors:
        print(f"\n{what}:\n")
    for one in sorted(survivors.elements()):
        print(one)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
