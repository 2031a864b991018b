"""Signed orders, as they are on the wire, in a `steerd.config.values.envelope`::

{"key":"ID","sig":"SIGNATURE","order":{"v":1,...}}
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

from nacl.signing import SigningKey, VerifyKey
from pydantic import ConfigDict, Field, ValidationError, model_validator

from steerd.config.values import envelope
from steerd.config.values.envelope import Envelope, Sealed
from steerd.share.messages import NAME_MAX, Count, Message, Name, RefusedError

Audience = Annotated[str, Field(pattern=r"^(all|(region|gw)/[A-Za-z0-9][A-Za-z0-9._-]*)$", max_length=NAME_MAX + 7)]

CONTEXT: Final = b"steerd order v1\0"
"""What every signed text begins with, so that a signature made for another purpose is not valid."""
ORDER_MAX: Final = 2048
"""Bytes that a signed order may have."""
LASTS_MAX: Final = 31 * 86400
"""Seconds that an order may last."""

_ENVELOPE: Final = Envelope("order", CONTEXT)
_FILE: Final = "steerd-secret-key:"


class Signer(NamedTuple):
    """Whose signature is trusted. `name` is what the configuration has behind the key, or its id."""

    id: str
    name: str
    key: VerifyKey


class Claim(NamedTuple):
    """What a payload says: that ``signer`` has signed what is ``sealed``."""

    signer: Signer
    sealed: Sealed


class WantedState(Message):
    """What is wanted of one PoP or of one policy. `counter` is the time of signing, and orders them; it, `nbf_ms` (not
    before) and `exp_ms` (expires) are ms since 1970."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    tenant: Name
    to: Audience
    pop: Name | None = None
    policy: Name | None = None
    drained: bool | None = None
    pin: Name | None = None
    counter: Count
    nbf_ms: Count
    exp_ms: Count

    @model_validator(mode="after")
    def _of_one(self) -> "WantedState":
        if (self.pop is None) == (self.policy is None):
            raise ValueError("must be of a PoP or of a policy")
        if (self.pop is None) != (self.drained is None) or (self.pop is not None and self.pin is not None):
            raise ValueError("a PoP is drained or not, a policy is pinned or not")
        return self

    @property
    def topic(self) -> str:
        """Below `steer/v1/TENANT/`."""
        return f"ctl/{self.to}/" + (f"pop/{self.pop}" if self.pop is not None else f"policy/{self.policy}")


def key_id(key: VerifyKey) -> str:
    """The ID by which a payload names this key."""
    return envelope.key_id(bytes(key))


generate = SigningKey.generate
"""A new secret key."""


def public_text(key: VerifyKey) -> str:
    """A public key as `trusted_keys` takes it."""
    return b64encode(bytes(key)).decode()


def secret_text(key: SigningKey) -> str:
    """A secret key as its file holds it."""
    return f"{_FILE}{b64encode(bytes(key)).decode()}\n"


def secret(text: str) -> SigningKey:
    """The secret key in a file's text. ValueError: there is none."""
    stripped = text.strip()
    if not stripped.startswith(_FILE):
        raise ValueError("is not a secret key of steerd (`steerctl keygen` makes one)")
    try:
        return SigningKey(b64decode(stripped.removeprefix(_FILE), validate=True))
    except (Base64Error, ValueError) as error:
        raise ValueError("is a damaged secret key") from error


def signers(trusted: Mapping[str, str]) -> Mapping[str, Signer]:
    """By id, the `trusted` public keys (base64 of 32 bytes) with their names."""
    keys = ((VerifyKey(b64decode(text, validate=True)), name) for text, name in trusted.items())
    return {key_id(key): Signer(key_id(key), name or key_id(key), key) for key, name in keys}


def sign(key: SigningKey, order: WantedState) -> bytes:
    """The payload of an order, signed with this key."""
    body = order.model_dump_json(exclude={"pop", "drained"} if order.pop is None else {"policy", "pin"}).encode()
    return _ENVELOPE.seal(key, body)


def claimed(payload: bytes, trusted: Mapping[str, Signer]) -> Claim:
    """Who is said to have signed this, which costs next to nothing. RefusedError: it is no order, or no trusted key is
    said to have signed it."""
    if len(payload) > ORDER_MAX:
        raise RefusedError("too large")
    sealed = _ENVELOPE.opened(payload)
    if sealed is None:
        raise RefusedError("malformed")
    signer = trusted.get(sealed.id)
    if signer is None:
        raise RefusedError("unknown key")
    return Claim(signer, sealed)


def verified(claim: Claim) -> WantedState:
    """The order. RefusedError: its signer did not sign it, or it is none."""
    if not _ENVELOPE.fits(claim.sealed, bytes(claim.signer.key)):
        raise RefusedError("signature")
    try:
        return WantedState.model_validate_json(claim.sealed.body)
    except ValidationError as error:
        raise RefusedError("malformed") from error
