"""Writing changed keys into a configuration file: these and nothing else, at once or not at all."""

import os
import shutil
import stat
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import tomlkit
from tomlkit.items import AbstractTable, Comment, InlineTable, Item

from steerd.config.problem import Report
from steerd.config.read import document
from steerd.tune.knobs import Change, Knobs

SUFFIX: Final = ".before-tune"


class RewriteError(Exception):
    """The file can not be rewritten, and was not; the message says why."""


def edited(old: str, changes: Sequence[Change], wanted: Knobs) -> str:
    """The text of a configuration with these changes; all else stays as it is, down to the blanks.

    Raises:
        RewriteError: the result would not mean what was ``wanted``.
    """
    text = old.replace("\r\n", "\n")
    for table in dict.fromkeys(change.table for change in changes):
        if table not in tomllib.loads(text):
            text = f"{text.rstrip()}\n\n[{table}]\n" if text.strip() else f"[{table}]\n"
    parsed = tomlkit.parse(text)
    for change in changes:
        _put(parsed[change.table], change)
    text = tomlkit.dumps(parsed)
    if "\r\n" in old:
        text = text.replace("\n", "\r\n")
    _check(old, text, changes, wanted)
    return text


def _put(table: Any, change: Change) -> None:
    value = tomlkit.item(change.new)
    if change.key in table:
        before: Item = table[change.key] if isinstance(table[change.key], Item) else table.item(change.key)
        blanks = before.trivia.comment_ws
        if before.trivia.comment and len(blanks) > 1:  # comments that stand below each other stay so
            width = len(blanks) + len(before.as_string()) - len(value.as_string())
            value.trivia.comment_ws = " " * max(1, width)
        table[change.key] = value
        return
    if not isinstance(table, AbstractTable) or isinstance(table, InlineTable):
        table[change.key] = value
        return
    # Behind the last key, and before the comments that belong to what comes next. A comment that stands further
    # in goes on with that of the key.
    body = table.value.body
    end = max((n for n, (key, _) in enumerate(body) if key is not None), default=-1) + 1
    while end < len(body) and isinstance(body[end][1], Comment) and body[end][1].trivia.indent:
        end += 1
    rest = body[end:]
    del body[end:]
    table.append(change.key, value)
    body.extend(rest)


def _check(old: str, new: str, changes: Sequence[Change], wanted: Knobs) -> None:
    """That the new text holds what the old one held, and the changes, and means what was wanted."""
    expected = deepcopy(tomllib.loads(old))
    for change in changes:
        expected.setdefault(change.table, {})[change.key] = change.new
    try:
        got = tomllib.loads(new)
        report = Report(Path())
        meant = Knobs.of(document(got, report))
    except ValueError as error:
        raise RewriteError(f"the new text would be no TOML: {error}") from None
    if got != expected or report.problems or meant != wanted:
        raise RewriteError("the keys can not be written into it without changing something else; write them by hand")


def check_writable(file: Path) -> Path:
    """The file that would be replaced, links followed.

    Raises:
        RewriteError: it is none, or neither it nor something beside it could be written.
    """
    try:
        target = file.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise RewriteError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from None
    if not stat.S_ISREG(target.stat().st_mode):
        raise RewriteError(f"{file}: is no ordinary file, so it can not be rewritten")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise RewriteError(f"{target.parent}: nothing can be written there, so {target.name} can not be replaced")
    if _backup(target).is_dir():
        raise RewriteError(f"{_backup(target)}: is a folder, so the old file can not be kept there")
    return target


def rewrite(file: Path, read: bytes, changes: Sequence[Change], wanted: Knobs) -> Path:
    """Puts the changes into the file; the old one is kept beside it, as its name with `SUFFIX`, and returned.

    ``read`` is what the file held when it was tuned: nobody may have changed it since.

    Raises:
        RewriteError: nothing was changed.
    """
    target = check_writable(file)
    try:
        if target.read_bytes() != read:
            raise RewriteError(f"{file}: was changed meanwhile, and is left as it is")
        text = edited(read.decode(), changes, wanted)
        _replace(_backup(target), read, target)
        _replace(target, text.encode(), target)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise RewriteError(f"{file}: is left as it is: {where}{error.strerror or error}") from None
    return _backup(target)


def _backup(target: Path) -> Path:
    return target.with_name(target.name + SUFFIX)


def _replace(file: Path, data: bytes, like: Path) -> None:
    """The file is the old one or the new one, whenever the power fails; it gets the mode, owner and attributes of
    another."""
    owner = like.stat()
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as stream:
        try:
            stream.write(data)
            stream.flush()
            made = os.fstat(stream.fileno())
            if (made.st_uid, made.st_gid) != (owner.st_uid, owner.st_gid):
                os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            shutil.copystat(like, stream.name)
            os.utime(stream.fileno())
            os.fsync(stream.fileno())
            Path(stream.name).replace(file)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
