"""A catalogue from a real web server over TLS, and servers that are not as they should be."""

import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from steerd.config.catalogue.signed import MOST
from steerd.config.settings import CatalogueSettings
from steerd.daemon.catalogue.source import Source
from tests.lab.sharing import make_authority

pytestmark = [pytest.mark.lab]


class Server:
    def __init__(self, authority: Path, *, tls: bool = True) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("If-None-Match")))
                code, headers, body = outer.answers[self.path]
                if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
                    code, body = 304, b""
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority / "broker.pem", authority / "broker.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def url(self, path: str = "/list", scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}{path}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Path) -> Iterator[Server]:
    one = Server(authority)
    yield one
    one.stop()


@pytest.fixture
def settings(server: Server, authority: Path) -> CatalogueSettings:
    return CatalogueSettings("provider", None, server.url(), authority / "ca.pem", 300.0, (), Path("kept"))


def test_it_is_fetched_once_and_then_asked_whether_it_is_still_the_same(server, settings):
    server.answers["/list"] = (200, {"ETag": '"7"'}, b"seven")
    source = Source()
    assert [source.read(settings), source.read(settings)] == [b"seven", b"seven"]
    assert server.asked == [("/list", None), ("/list", '"7"')]
    server.answers["/list"] = (200, {"ETag": '"8"'}, b"eight")
    assert source.read(settings) == b"eight"


def test_a_server_that_this_gateway_has_no_reason_to_trust_is_not_asked(server, settings):
    server.answers["/list"] = (200, {}, b"seven")
    with pytest.raises(OSError, match="certificate verify failed"):
        Source().read(replace(settings, ca=None))
    assert not server.asked


def test_what_is_not_there_or_too_large_is_an_error(server, settings):
    server.answers["/list"] = (404, {}, b"")
    with pytest.raises(OSError, match="the server answers 404"):
        Source().read(settings)
    server.answers["/list"] = (304, {}, b"")
    with pytest.raises(OSError, match="the server answers 304"):
        Source().read(settings)
    server.answers["/list"] = (200, {}, b" " * (MOST + 1))
    with pytest.raises(ValueError, match="larger than 4 MiB"):
        Source().read(settings)


def test_one_that_was_cut_on_the_way_is_not_taken_for_whole(server, settings):
    server.answers["/list"] = (200, {"Content-Length": "100"}, b"seven")
    with pytest.raises(OSError, match="broke off"):
        Source().read(settings)


def test_redirects_are_followed_a_few_times_and_never_out_of_tls(server, settings, authority):
    server.answers["/list"] = (302, {"Location": "/new"}, b"")
    server.answers["/new"] = (200, {}, b"seven")
    assert Source().read(settings) == b"seven"
    server.answers["/new"] = (302, {"Location": "/list"}, b"")
    with pytest.raises(OSError, match="30"):
        Source().read(settings)
    plain = Server(authority, tls=False)
    plain.answers["/list"] = (200, {}, b"seven")
    server.answers["/list"] = (302, {"Location": plain.url(scheme="http")}, b"")
    with pytest.raises(OSError, match="without TLS"):
        Source().read(settings)
    assert not plain.asked
    plain.stop()


def test_nobody_there(settings):
    with pytest.raises(OSError, match="refused"):
        Source().read(replace(settings, url="https://127.0.0.1:9/list"))
