"""What a path's ``over`` asks for: which uplink its tunnel's own packets take."""

from collections.abc import Sequence

from steerd.config.file.problem import Report
from steerd.config.gateway.document import Document
from steerd.config.gateway.pops import CheckedPath


def check(tables: Document, paths: Sequence[CheckedPath], report: Report) -> None:
    """Reports where it cannot work."""
    seen: dict[str, tuple[str, str]] = {}
    for path in paths:
        own, key = path.written, f"{path.key}.over"
        if own.over is None:
            continue
        said, first = seen.setdefault(own.dev, (own.over, path.key))
        if said != own.over:
            report.error(
                key, own.over, f"must be {said}, as of {report.told(first)}: the packets of {own.dev} go one way"
            )
        if own.over == own.dev:
            report.error(key, own.over, "must be another device than the path's: the tunnel would run through itself")
        elif any(other.written.dev == own.over and other.written.over for other in paths):
            report.error(key, own.over, "must be an uplink, not a tunnel that is led over another one itself")
        if own.via is not None or own.via6 is not None:
            report.error(key, own.over, "must come without via and via6: only WireGuard devices have outer packets")
        if not tables.probe.wireguard_interval and not report.touched("probe.wireguard_interval"):
            why = "nobody reads the tunnel's FwMark"
            report.error(key, own.over, f'must come without probe.wireguard_interval = "0s", or {why}')
        if 2 * len(paths) + 1 >= 1 << tables.route.mark.bit_count():
            report.error(key, own.over, f"has no table: route.mark must have more bits for {len(paths)} paths")
