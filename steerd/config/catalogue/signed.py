"""A signed catalogue, as it is stored and sent, in a `steerd.config.values.envelope`::

{"key":"ID","sig":"SIGNATURE","catalogue":{"v":1,"name":...,"serial":...,"pops":[...]}}
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steerd.config.values.envelope import Envelope, key_id
from steerd.config.values.names import Name

if TYPE_CHECKING:
    from nacl.signing import SigningKey

CONTEXT: Final = b"steerd catalogue v1\0"
"""What every signed catalogue begins with, so that a signature made for another purpose is not valid."""
MOST: Final = 4 << 20
"""Bytes that a catalogue may have: 1000 PoPs take some 200 kB."""
AHEAD: Final = 300.0
"""Seconds that the signer's clock may be ahead of ours."""
REASONS: Final = (
    "clashes", "content type", "expired", "malformed", "not yet valid", "signature", "stale", "too large",
    "unknown key", "unreachable", "wrong name",
)  # fmt: skip
"""All that a catalogue is refused for; ``clashes``: with the configuration."""

_ENVELOPE: Final = Envelope("catalogue", CONTEXT)


class RefusedError(Exception):
    """It is not taken: ``reason`` is one of `REASONS`, the message says it in words."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Listed:
    """A catalogue whose signature is good. ``pops``: as they are written; times are ms since 1970."""

    payload: bytes
    name: str
    serial: int
    issued_ms: int
    expires_ms: int
    signer: str
    pops: Sequence[Mapping[str, Any]]


class Body(BaseModel):
    """What is signed; times are ms since 1970."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1] = 1
    name: Name
    serial: Annotated[int, Field(ge=1, le=(1 << 53) - 1)]
    issued_ms: Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
    expires_ms: Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
    pops: list[dict[str, Any]]


def sign(
    key: "SigningKey", *, name: str, serial: int, issued_ms: int, expires_ms: int, pops: list[dict[str, Any]]
) -> bytes:
    """The signed catalogue. ValueError: it would not be taken."""
    try:
        body = Body(name=name, serial=serial, issued_ms=issued_ms, expires_ms=expires_ms, pops=pops)
    except ValidationError as error:
        raise ValueError("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from error
    text = body.model_dump_json().encode()
    payload = _ENVELOPE.seal(key, text)
    if len(payload) > MOST:
        raise ValueError(f"is larger than {MOST >> 20} MiB")
    return payload


def verified(payload: bytes, name: str, trusted: Sequence[tuple[str, str]]) -> Listed:
    """The catalogue of this ``name``, signed with one of the ``trusted`` keys (base64 of 32 bytes, and whose it is).
    RefusedError: it is none."""
    if len(payload) > MOST:
        raise RefusedError("too large", f"it is larger than {MOST >> 20} MiB")
    sealed = _ENVELOPE.opened(payload.rstrip())
    if sealed is None:
        raise RefusedError("malformed", "it is no signed catalogue, or a part of one")
    keys = {key_id(b64decode(text)): (b64decode(text), owner) for text, owner in trusted}
    if sealed.id not in keys:
        raise RefusedError("unknown key", f"it is signed with a key that is not trusted: {sealed.id}")
    key, owner = keys[sealed.id]
    if not _ENVELOPE.fits(sealed, key):
        raise RefusedError("signature", f"the signature of {owner or sealed.id} does not fit: it was changed")
    try:
        body = Body.model_validate_json(sealed.body)
    except (ValidationError, RecursionError) as error:
        raise RefusedError("malformed", f"{owner or sealed.id} signed something that is no catalogue") from error
    if body.name != name:
        raise RefusedError("wrong name", f"it is the catalogue {body.name}")
    return Listed(payload, body.name, body.serial, body.issued_ms, body.expires_ms, owner or sealed.id, body.pops)


def fresh(new: Listed, former: Listed | None, now: float) -> None:
    """RefusedError: at ``now``, in seconds since 1970, it is too old to follow the ``former``, or from the future."""
    if former is not None and new.serial <= former.serial:
        raise RefusedError("stale", f"serial {new.serial} does not follow serial {former.serial}, which is in force")
    if new.issued_ms / 1000.0 > now + AHEAD:
        raise RefusedError("not yet valid", "it was signed in the future: look at this machine's clock")
    if new.expires_ms / 1000.0 < now:
        raise RefusedError("expired", f"serial {new.serial} has expired")
