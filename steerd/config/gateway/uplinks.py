"""Uplinks: each is one that paths leave by, and what is said of it is of use."""

from collections.abc import Sequence
from typing import Final

from steerd.config.file.problem import Report, nearest
from steerd.config.gateway.document import Document, Uplink
from steerd.config.gateway.pops import Pops
from steerd.config.uplink import UplinkSettings

UPLINKS_MAX: Final = 64


def check(tables: Document, found: Pops, report: Report) -> None:
    """Reports names that are no path's, or two's, and keys that do nothing without another."""
    report.unique("uplink", (uplink.name if uplink else None for uplink in tables.uplink))
    used = {path.uplink for path in found.paths}
    for place, uplink in enumerate(tables.uplink):
        if uplink is None:
            continue
        key = f"uplink[{place}]"
        if uplink.name not in used and found.whole and found.names and not found.partial:
            written = [path.written for path in found.paths]
            devices = [path.uplink or path.over or path.dev for path in written]
            by = "no path leaves by it: must be the uplink of one, or the dev of one without an uplink"
            report.error(f"{key}.name", uplink.name, f"{by}; {nearest(uplink.name, devices)}")
        _idle(uplink, key, report)
    if len(tables.uplink) > UPLINKS_MAX:
        report.error("uplink", len(tables.uplink), f"must be at most {UPLINKS_MAX}")


def _idle(uplink: Uplink, key: str, report: Report) -> None:
    written = uplink.model_fields_set
    for one, needs in (("resets", "cap"), ("bias", "hours"), ("hours", "bias")):
        if one in written and needs not in written and not report.touched(f"{key}.{needs}"):
            report.error(f"{key}.{one}", None, f"does nothing without {needs}: must come with it")


def settings(tables: Document) -> Sequence[UplinkSettings]:
    """Those of a document that was checked."""
    return [
        UplinkSettings(one.name, one.metered, one.price, one.cap, one.resets, one.hours, one.bias)
        for one in tables.uplink
        if one is not None
    ]
