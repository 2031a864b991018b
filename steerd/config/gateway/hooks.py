"""Hooks: who is told of what, and whether he can be."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from steerd.config.file import files
from steerd.config.file.problem import Report
from steerd.config.gateway.document import Document, Hook
from steerd.config.hook import HookSettings

HOOKS_MAX = 16


def check(tables: Document, folder: Path, report: Report) -> None:
    """Each has a name of its own, and one way to be told."""
    report.unique("hook", (hook.name if hook else None for hook in tables.hook))
    for place, hook in enumerate(tables.hook):
        if hook is None:
            continue
        key = f"hook[{place}]"
        for part, found, wrong in _mistakes(hook):
            report.error(f"{key}.{part}", found, wrong)
        files.missing(f"{key}.key_file", hook.key_file, folder, report)
        if hook.run and hook.run[0].startswith("/") and not os.access(hook.run[0], os.X_OK):
            report.warn(f"{key}.run", f"{hook.run[0]} is no program that can be run now")
    if len(tables.hook) > HOOKS_MAX:
        report.error("hook", len(tables.hook), f"must be at most {HOOKS_MAX}: each has a thread of its own")


def _mistakes(hook: Hook) -> Iterator[tuple[str, object, str]]:
    if bool(hook.run) == bool(hook.url):
        yield "run", hook.run or None, "must be given, or url, and not both"
    if hook.run and not hook.run[0].startswith("/"):
        yield "run[0]", hook.run[0], "must be the program's whole path: there is no shell to look for it"
    if hook.key_file and not hook.url:
        yield "key_file", hook.key_file, "must come with url: it signs what is sent there"
    if hook.user and not hook.run:
        yield "user", hook.user, "must come with run"
    if hook.user and not _known(hook.user):
        yield "user", hook.user, "must be a user of this machine"


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def settings(tables: Document, folder: Path) -> tuple[HookSettings, ...]:
    """Those of a document that was checked."""
    return tuple(
        HookSettings(
            name=hook.name,
            on=frozenset(hook.on),
            run=tuple(hook.run),
            url=hook.url or "",
            key_file=files.located(hook.key_file, folder),
            timeout=hook.timeout,
            retries=hook.retries,
            user=hook.user or "",
        )
        for hook in tables.hook
        if hook is not None
    )
