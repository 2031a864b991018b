"""A hook that is a URL: a notice as the body of a POST, signed if there is a key."""

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from steerd import __version__
from steerd.config.hook import origin
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.hooks.notice import HookError
from steerd.text.lines import printable

SIGNATURE: Final = "X-Steerd-Signature"


def post(url: str, body: bytes, *, key_file: Path | None, timeout: float) -> None:
    """Send it, within ``timeout`` seconds in all once it is connected, and as long for each address that does not let
    it. With a key the header `SIGNATURE` has ``sha256=`` and the HMAC of the body (RFC 2104) in hexadecimal digits. Any
    answer of 200 to 299 takes it, whatever its body; redirects are not followed. HookError: it was not taken. Its
    message has the URL's host alone: the rest may be a secret."""
    headers = {"Content-Type": "application/json", "User-Agent": f"steerd/{__version__}"}
    if key_file is not None:
        try:
            headers[SIGNATURE] = "sha256=" + hmac.new(read_key(key_file), body, hashlib.sha256).hexdigest()
        except KeyFileError as error:
            raise HookError(str(error)) from error
    parts = urlsplit(url)
    place, secure = origin(url), parts.scheme == "https"
    headers["Host"] = parts.netloc
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or (443 if secure else 80))
    over = threading.Event()
    late = threading.Timer(timeout, _cut, [connection, over])  # a byte now and then would keep each wait short
    late.daemon = True
    try:
        connection.sock = socket.create_connection((connection.host, connection.port), timeout)
        late.start()
        if secure:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(
                connection.sock, server_hostname=connection.host, do_handshake_on_connect=False
            )
            connection.sock.do_handshake()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        status, reason = answer.status, answer.reason
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, TimeoutError) or over.is_set():
            raise HookError(f"{place} did not answer within {timeout:g} s") from error
        raise HookError(f"{place}: {printable(str(error) or type(error).__name__)}") from error
    finally:
        late.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise HookError(f"{place} answered {status} {printable(reason)}".rstrip())


def _cut(connection: http.client.HTTPConnection, over: threading.Event) -> None:
    over.set()  # before whoever waits hears of it
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
