"""Signed text, as it is stored and sent: one line of JSON of a fixed layout, so that the signature is checked before
anything is parsed::

    {"key":"ID","sig":"SIGNATURE","MEMBER":{...}}

ID is the first 8 bytes of the SHA-256 of the public key, in hex; SIGNATURE is Ed25519 (RFC 8032), in URL-safe base64
without padding, over a context, which differs for each purpose, and the bytes of the member as they stand there.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nacl.signing import SigningKey


class Sealed(NamedTuple):
    """``body``, and who is said to have signed it, by the id of the key."""

    id: str
    signature: bytes
    body: bytes


class Envelope:
    """What carries a ``member`` that is signed in this ``context``, so that no signature serves two purposes."""

    def __init__(self, member: str, context: bytes) -> None:
        self._member = member.encode()
        self._context = context
        layout = rb'\{"key":"([0-9a-f]{16})","sig":"([A-Za-z0-9_-]{86})","%s":(\{.*\})\}' % self._member
        self._layout = re.compile(layout, re.DOTALL)

    def seal(self, key: "SigningKey", body: bytes) -> bytes:
        """The ``body``, a JSON object, signed with this key."""
        signature = urlsafe_b64encode(key.sign(self._context + body).signature).rstrip(b"=")
        id_ = key_id(bytes(key.verify_key)).encode()
        return b'{"key":"%s","sig":"%s","%s":%s}' % (id_, signature, self._member, body)

    def opened(self, payload: bytes) -> Sealed | None:
        """What is in it, unchecked, which costs next to nothing; None: it is none."""
        match = self._layout.fullmatch(payload)
        return Sealed(match[1].decode(), match[2], match[3]) if match is not None else None

    def fits(self, sealed: Sealed, key: bytes) -> bool:
        """Whether the holder of this public key, of 32 bytes, has signed it."""
        from nacl.exceptions import BadSignatureError  # noqa: PLC0415 (only for those who are sent signed text)
        from nacl.signing import VerifyKey  # noqa: PLC0415

        try:
            VerifyKey(key).verify(self._context + sealed.body, urlsafe_b64decode(sealed.signature + b"=="))
        except (BadSignatureError, ValueError):
            return False
        return True


def key_id(key: bytes) -> str:
    """The ID of a public key."""
    return hashlib.sha256(key).hexdigest()[:16]
