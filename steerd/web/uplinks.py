"""The series of uplinks: what they carried, what they may, what they cost."""

from collections.abc import Iterable, Mapping
from typing import Final

from steerd.status.snapshot import UplinkView
from steerd.web.text import header, labels, line

BYTES: Final = "steerd_uplink_bytes_total"
CAP: Final = "steerd_uplink_cap_bytes"
PRICE: Final = "steerd_uplink_price_seconds"

HEADERS: Final = {
    BYTES: header(BYTES, "counter", "Bytes that the uplink carried, both ways, since its count began anew."),
    CAP: header(CAP, "gauge", "Bytes that it may carry until its count begins anew."),
    PRICE: header(PRICE, "gauge", "What its paths cost more: its price, and that its cap is near."),
}


def add(page: Mapping[str, list[str]], uplinks: Iterable[UplinkView]) -> None:
    """Append the lines of each to those of each family."""
    for one in uplinks:
        inner = labels(uplink=one.name)
        page[BYTES].append(line(BYTES, inner, one.bytes))
        page[PRICE].append(line(PRICE, inner, (one.price + one.scarcity) / 1000.0))
        if one.cap is not None:
            page[CAP].append(line(CAP, inner, one.cap))
