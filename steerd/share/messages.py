"""The messages, as they are on the wire: JSON with integers, zlib above 1 KB.

What comes in is checked here, once; what is wrong is refused with one of few fixed reasons. Unknown fields are ignored;
a change that breaks readers gets new topics.
"""

import zlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steerd.core.cost.backbone import LINKS_MAX
from steerd.core.effects import Switched
from steerd.core.states import PathState, Reason
from steerd.core.views import PathView, View

JSON: Final = "application/json"
ZLIB: Final = "application/json+zlib"
COMPRESS_ABOVE: Final = 1024
INFLATED_MAX: Final = 64 << 10

NAME_MAX: Final = 63
POPS_MAX: Final = 4096

Count = Annotated[int, Field(ge=0, le=2**53)]
Micros = Annotated[int, Field(ge=0, le=10**9)]
"""A duration in us; at most 1000 s."""
Gain = Annotated[int, Field(ge=-(10**10), le=10**10)]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=NAME_MAX)]
"""Of a gateway, PoP, policy, region or tenant, as the configuration has them."""
PathName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$", max_length=2 * NAME_MAX + 1)]
"""`pop/name`."""
Text = Annotated[str, Field(max_length=200)]


class RefusedError(ValueError):
    """A message is refused. `reason` is one of few, and holds nothing that the sender chose."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, populate_by_name=True)


class Message(_Part):
    v: Literal[1] = 1


class GatewayState(Message):
    gw: Name
    epoch: Count
    online: bool
    version: Annotated[str, Field(max_length=64)]
    reason: Text | None = None


class ServiceState(Message):
    """Of a fleet service, which hears all gateways and PoPs."""

    name: Name
    epoch: Count
    online: bool
    version: Annotated[str, Field(max_length=64)]
    reason: Text | None = None


class PathScore(_Part):
    """What is not known is null."""

    pop: Name
    path: PathName
    state: PathState
    rtt_us: Micros | None
    jitter_us: Micros | None
    loss_ppm: Ppm
    n: Count
    age_ms: Count | None


class Score(Message):
    gw: Name
    epoch: Count
    seq: Count
    ts_ms: Count
    policies: Annotated[Mapping[Name, PathName | None], Field(max_length=POPS_MAX)]
    paths: Annotated[list[PathScore], Field(max_length=POPS_MAX)]


class SwitchEvent(Message):
    gw: Name
    epoch: Count
    seq: Count
    ts_ms: Count
    event_id: Text
    policy: Name
    from_: Annotated[PathName | None, Field(alias="from")]
    to: PathName | None
    reason: Reason
    gain_us: Gain | None


class LinkReport(_Part):
    """One of a PoP's links: to another PoP, or to a service."""

    to: Name
    rtt_us: Micros
    loss_ppm: Ppm


class PopReport(Message):
    """What a PoP says of itself, each `interval_ms`. `load_ppm` was read `age_ms` before this was sent; `capacity` is
    in bit/s."""

    pop: Name
    epoch: Count
    seq: Count
    accepting: bool
    load_ppm: Ppm | None = None
    age_ms: Count = 0
    capacity: Count | None = None
    links: Annotated[list[LinkReport], Field(max_length=LINKS_MAX)] | None = None
    interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 10_000


class PathRollup(_Part):
    """What a region's gateways measured of one PoP. `mad_us` is the median absolute deviation."""

    pop: Name
    median_rtt_us: Micros
    mad_us: Micros
    loss_ppm: Ppm
    gateways: Count


class Rollup(Message):
    """What a region's gateways measured, put together by somebody who hears them all."""

    region: Name
    epoch: Count
    seq: Count
    paths: Annotated[list[PathRollup], Field(max_length=POPS_MAX)]


def score(view: View, *, gateway: str, seq: int, ts_ms: int) -> Score:
    """What this gateway believes and uses now."""
    return Score(
        gw=gateway,
        epoch=view.epoch,
        seq=seq,
        ts_ms=ts_ms,
        policies={policy.policy: policy.choice for policy in view.policies},
        paths=[_path(path) for path in view.paths],
    )


def _path(path: PathView) -> PathScore:
    return PathScore(
        pop=path.pop,
        path=path.path,
        state=path.state,
        rtt_us=_micros(path.rtt),
        jitter_us=_micros(path.jitter),
        loss_ppm=round(min(1.0, max(0.0, path.loss or 0.0)) * 1_000_000),
        n=path.n,
        age_ms=None if path.age is None else max(0, round(path.age * 1000)),
    )


def switch_event(one: Switched, *, gateway: str, epoch: int, seq: int, ts_ms: int) -> SwitchEvent:
    """A switch, with what the new path gains: the difference of both total costs."""
    old, new = (one.evidence.get(path, {}).get("total") if path is not None else None for path in (one.old, one.new))
    return SwitchEvent(
        gw=gateway,
        epoch=epoch,
        seq=seq,
        ts_ms=ts_ms,
        event_id=one.event_id,
        policy=one.policy,
        from_=one.old,
        to=one.new,
        reason=one.reason,
        gain_us=None if old is None or new is None else _micros(old - new, -(10**10), 10**10),
    )


def _micros(milliseconds: float | None, least: int = 0, most: int = 10**9) -> int | None:
    if milliseconds is None or not isfinite(milliseconds):
        return None
    return max(least, min(most, round(milliseconds * 1000)))


def encode(message: Message) -> tuple[bytes, str]:
    """Payload and content type. Optional fields of a state without a value are left out."""
    text = message.model_dump_json(
        by_alias=True, exclude_none=isinstance(message, GatewayState | ServiceState | PopReport)
    ).encode()
    return packed(text)


def packed(text: bytes) -> tuple[bytes, str]:
    """Payload and content type of this JSON."""
    return (zlib.compress(text), ZLIB) if len(text) > COMPRESS_ABOVE else (text, JSON)


def media_type(content_type: str | None) -> str:
    """What a content type says of the format: its parameters and its case do not matter (RFC 9110, 8.3.1), and who
    gives none means JSON."""
    return (content_type or "").partition(";")[0].strip().lower() or JSON


M = TypeVar("M", bound=Message)


def decode(kind: type[M], payload: bytes, content_type: str | None) -> M:
    """A message of this kind. RefusedError: it is none."""
    text = unpacked(payload, content_type)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise RefusedError("malformed") from error


def unpacked(payload: bytes, content_type: str | None, most: int = INFLATED_MAX) -> bytes:
    """The JSON of a message, inflated if it has to be, but to no more than ``most`` bytes. RefusedError: it is more, or
    not of a content type that is known."""
    media = media_type(content_type)
    if media == ZLIB:
        payload = _inflated(payload, most)
    elif media != JSON:
        raise RefusedError("content type")
    if len(payload) > most:
        raise RefusedError("too large")
    return payload.removeprefix(BOM_UTF8)


def _inflated(payload: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, most + 1)
    except zlib.error as error:
        raise RefusedError("malformed") from error
    if len(inflated) <= most and (not stream.eof or stream.unused_data):
        raise RefusedError("malformed")
    return inflated
