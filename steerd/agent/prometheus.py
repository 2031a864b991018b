"""The load as a query to Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries."""

import http.client
import json
import time
import urllib.request
from typing import Any, Final
from urllib.parse import urlencode

from steerd import __version__
from steerd.agent.error import LoadError
from steerd.text.lines import printable

ANSWER_MAX: Final = 64 << 10
"""Bytes of an answer."""


def ask(url: str, query: str, timeout: float) -> str:
    """The one value that the query has now, as text. Blocks, for a thread: each step of it for ``timeout`` seconds at
    most. LoadError: it has none, or several, or the server does not answer so."""
    asked = f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
    request = urllib.request.Request(asked, headers={"User-Agent": f"steerd/{__version__}"})  # noqa: S310 -- checked
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            deadline, body = time.monotonic() + timeout, b""
            while len(body) <= ANSWER_MAX and (more := answer.read1(ANSWER_MAX)):
                body += more
                if time.monotonic() > deadline:  # a byte now and then would keep each wait short
                    raise TimeoutError("the answer takes too long")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LoadError(f"{url}: {printable(str(error) or type(error).__name__)}") from error
    if len(body) > ANSWER_MAX:
        raise LoadError(f"{url} answered with more than {ANSWER_MAX >> 10} KiB")
    return value(body)


def value(body: bytes) -> str:
    """The value in an answer. LoadError: there is none, or there are several."""
    try:
        data = json.loads(body)["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return str(result[1])
        if kind == "vector":
            values = [str(one["value"][1]) for one in result]
            if len(values) == 1:
                return values[0]
            raise LoadError(f"the query has {len(values)} values: it must have one")
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise LoadError("Prometheus did not answer as it is documented to") from None
    raise LoadError(f"the query has a {str(kind)[:20]}: it must have a scalar or a vector of one value")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
