"""Files that the configuration names: where they are, and whether they are there."""

import os
from pathlib import Path

from steerd.config.problem import Report

_CREDENTIALS = "${CREDENTIALS_DIRECTORY}/"


def located(written: str | None, folder: Path) -> Path | None:
    """Relative to the configuration's folder, or among the unit's credentials (systemd.exec(5), LoadCredential=)."""
    if written is None:
        return None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and written.startswith(_CREDENTIALS):
        return Path(credentials) / written.removeprefix(_CREDENTIALS)
    return folder / written


def missing(key: str, written: str | None, folder: Path, report: Report) -> None:
    """Warns of a file that is not there: it may come before it is needed."""
    file = located(written, folder)
    if file and not os.path.exists(file):  # noqa: PTH110 (Path.exists raises when a folder may not be searched)
        report.warn(key, f"{file} cannot be read now")
