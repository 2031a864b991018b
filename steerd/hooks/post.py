"""A hook that is a URL: a notice as the body of a POST, signed if there is a key."""

import hashlib
import hmac
import http.client
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from steerd import __version__
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.hooks.notice import HookError
from steerd.text.lines import printable

SIGNATURE: Final = "X-Steerd-Signature"
_ANSWER: Final = 4096


def post(url: str, body: bytes, *, key_file: Path | None, timeout: float) -> None:
    """Send it, within ``timeout`` seconds in all once the name is resolved. With a key the header `SIGNATURE` has
    ``sha256=`` and the HMAC of the body (RFC 2104) in hexadecimal digits. Any answer of 200 to 299 takes it; redirects
    are not followed. HookError: it was not taken."""
    headers = {"Content-Type": "application/json", "User-Agent": f"steerd/{__version__}"}
    if key_file is not None:
        try:
            headers[SIGNATURE] = "sha256=" + hmac.new(read_key(key_file), body, hashlib.sha256).hexdigest()
        except KeyFileError as error:
            raise HookError(str(error)) from error
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    late = threading.Timer(timeout, _cut, [connection])  # a byte now and then would keep each wait short
    late.daemon = True
    try:
        connection.connect()
        late.start()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        status, reason = answer.status, answer.reason
        answer.read(_ANSWER)
    except TimeoutError as error:
        raise HookError(f"{url} did not answer within {timeout:g} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HookError(f"{url}: {printable(str(error) or type(error).__name__)}") from error
    finally:
        late.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise HookError(f"{url} answered {status} {printable(reason)}".rstrip())


def _cut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
