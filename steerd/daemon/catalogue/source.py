"""Where a catalogue is fetched from: a file, or a web server over TLS. It blocks: for a thread."""

import ssl
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Final

from steerd.config.catalogue.signed import MOST
from steerd.config.file.files import content
from steerd.config.settings import CatalogueSettings

WITHIN: Final = 30.0
"""Seconds that a server may take for all of it."""
SILENCE: Final = 10.0
"""Seconds that it may say nothing."""
_PIECE: Final = 64 << 10


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = max_repeats = 3

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise OSError("the server sends us to an address without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Source:
    """Remembers what it read last, for a server that says that it is still the same."""

    def __init__(self) -> None:
        self._read: tuple[str, bytes, dict[str, str]] | None = None

    def read(self, settings: CatalogueSettings) -> bytes:
        """What is there now. OSError, ValueError: it cannot be had; the message says why."""
        if settings.file is not None:
            return content(settings.file, MOST)
        url = settings.url or ""
        known = self._read if self._read is not None and self._read[0] == url else None
        try:
            return self._fetch(settings, url, known)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304 and known is not None:
                    return known[1]
                raise OSError(f"the server answers {error.code} {error.reason}"[:200]) from error
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from error
        except HTTPException as error:
            raise OSError(f"the server does not speak HTTP, or broke off: {type(error).__name__}") from error

    def _fetch(self, settings: CatalogueSettings, url: str, known: tuple[str, bytes, dict[str, str]] | None) -> bytes:
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())
        asked = urllib.request.Request(url, headers={"User-Agent": "steerd", **(known[2] if known else {})})  # noqa: S310
        ends = time.monotonic() + WITHIN
        pieces: list[bytes] = []
        with opener.open(asked, timeout=SILENCE) as answer:
            size, announced = 0, answer.headers.get("Content-Length")
            while piece := answer.read1(_PIECE):
                pieces.append(piece)
                size += len(piece)
                if size > MOST:
                    raise ValueError(f"it is larger than {MOST >> 20} MiB")
                if time.monotonic() > ends:
                    raise OSError(f"the server took longer than {WITHIN:.0f} s")
            if announced is not None and announced != str(size):
                raise OSError("the server broke off")
        payload = b"".join(pieces)
        self._read = url, payload, _conditions(answer.headers)
        return payload


def _conditions(headers: Any) -> dict[str, str]:
    """What to ask with next time, so that nothing is sent twice."""
    pairs = (("If-None-Match", headers.get("ETag")), ("If-Modified-Since", headers.get("Last-Modified")))
    return {name: value for name, value in pairs if value and value.isprintable()}
