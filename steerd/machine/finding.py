"""What stands between a configuration and this machine, and what mends it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote
from typing import Final, NamedTuple

from steerd.core.settings import PathId, PolicyId

AND: Final = " && "
"""Between two commands of a cure."""


class Severity(StrEnum):
    """ERROR: something that the configuration asks for cannot work here; WARNING: it works, but not as well as meant,
    or could not be looked at."""

    ERROR = "error"
    WARNING = "warning"


class By(StrEnum):
    """How a cure is applied. RUN: a command for root's shell; SET: a key and its value, at the finding's place in the
    file; DO: what only words can say."""

    RUN = "run"
    SET = "set"
    DO = "do"


class Cure(NamedTuple):
    by: By
    text: str


def run(*commands: str) -> Cure:
    """Commands, each once the one before it has succeeded. Their words, parted by blanks, are quoted where a shell
    would take them for more: others choose names."""
    return as_written(*(" ".join(map(quote, one.split(" "))) for one in commands))


def as_written(*commands: str) -> Cure:
    """As `run`, of commands that are a shell's already."""
    return Cure(By.RUN, AND.join(commands))


def put(text: str) -> Cure:
    """``key = value``, as TOML."""
    return Cure(By.SET, text)


def do(text: str) -> Cure:
    """One sentence."""
    return Cure(By.DO, text)


@dataclass(frozen=True, slots=True)
class Finding:
    """``id`` names its kind, and stays the same over versions; ``place`` is what of the configuration it is about, as
    ``path fra1/wg-fra1, dev``; ``what`` is so, and ``why`` it matters: one sentence each."""

    severity: Severity
    id: str
    place: str
    what: str
    why: str
    cure: Cure


def of_path(path: PathId, key: str = "") -> str:
    """A finding's place: a path, and the key of it that is meant."""
    return f"path {path}, {key}" if key else f"path {path}"


def of_policy(policy: PolicyId, key: str = "") -> str:
    """As `of_path`, of a policy."""
    return f"policy {policy}, {key}" if key else f"policy {policy}"


def error(id_: str, place: str, what: str, why: str, cure: Cure) -> Finding:
    """What cannot work."""
    return Finding(Severity.ERROR, id_, place, what, why, cure)


def warning(id_: str, place: str, what: str, why: str, cure: Cure) -> Finding:
    """What works, but not as meant."""
    return Finding(Severity.WARNING, id_, place, what, why, cure)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, in the order in which they were found; of what one command cures the first alone."""
    found: dict[object, Finding] = {}
    for one in sorted(findings, key=lambda one: one.severity is not Severity.ERROR):
        found.setdefault(one.cure if one.cure.by is By.RUN else one, one)
    return list(found.values())
