"""Hooks that are URLs, by a real server, and the examples."""

import hashlib
import hmac
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from steerd.hooks.command import run
from steerd.hooks.notice import HookError, Notice, Topic
from steerd.hooks.post import SIGNATURE, post

BODY = b'{"event": "switch"}\n'
US = "" if os.geteuid() else "root"


@contextmanager
def server(answer, context=None):
    """Its requests, as they come: headers and body; ``context``: of TLS."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            answer(self)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.handle_error = lambda *_: None  # who connects may leave when he likes
        if context:
            serving.socket = context.wrap_socket(serving.socket, server_side=True)
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}/notify?topic=gw", heard
        finally:
            serving.shutdown()


def answering(status):
    def answer(handler):
        handler.send_response(status)
        handler.end_headers()

    return answer


def test_a_url_gets_the_notice_signed(tmp_path):
    key = tmp_path / "key"
    key.write_text("00112233445566778899aabbccddeeff")
    with server(answering(204)) as (url, heard):
        post(url, BODY, key_file=key, timeout=5.0)
        post(url, BODY, key_file=None, timeout=5.0)
    (signed, body), (plain, _) = heard
    assert body == BODY
    assert signed[SIGNATURE] == "sha256=" + hmac.new(bytes.fromhex(key.read_text()), BODY, hashlib.sha256).hexdigest()
    assert SIGNATURE not in plain
    assert signed["Content-Type"] == "application/json"


def test_what_is_no_yes_is_a_failure_and_redirects_are_not_followed(tmp_path):
    with server(answering(302)) as (url, heard):
        with pytest.raises(HookError, match="answered 302"):
            post(url, BODY, key_file=None, timeout=5.0)
        assert len(heard) == 1
        with pytest.raises(HookError, match="cannot read the key"):
            post(url, BODY, key_file=tmp_path / "none", timeout=5.0)
        assert len(heard) == 1


def test_a_dead_url_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(HookError, match=f"http://127.0.0.1:{port}: .*refused"):
        post(f"http://127.0.0.1:{port}/", BODY, key_file=None, timeout=1.0)


def test_a_server_that_drips_is_left_in_time():
    def drip(handler):
        for _ in range(100):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.05)

    began = time.monotonic()
    with server(drip) as (url, _), pytest.raises(HookError):
        post(url, BODY, key_file=None, timeout=0.4)
    assert time.monotonic() - began < 20.0  # and not as long as it drips


def test_one_that_never_answers_is_told_by_its_host_and_the_time():
    with server(lambda _: time.sleep(2.0)) as (url, _), pytest.raises(HookError) as raised:
        post(f"{url}&token=secret", BODY, key_file=None, timeout=0.3)
    assert str(raised.value) == f"{url.rpartition('/')[0]} did not answer within 0.3 s"


@pytest.mark.parametrize("head", ["HTTP/1.0 200 OK", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000"])
def test_a_yes_is_a_yes_however_long_its_body_takes(head):
    def endless(handler):
        with suppress(OSError):
            handler.wfile.write(f"{head}\r\n\r\n".encode())
            for _ in range(600):
                handler.wfile.write(b"x")
                time.sleep(0.05)

    began = time.monotonic()
    with server(endless) as (url, _):
        post(url, BODY, key_file=None, timeout=0.5)
    assert time.monotonic() - began < 20.0  # and not as long as it drips


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")
def test_https_is_trusted_by_its_certificate_and_a_server_that_never_shakes_hands_is_left(tmp_path, monkeypatch):
    made = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost")
    files = (
        "-keyout",
        str(tmp_path / "key"),
        "-out",
        str(tmp_path / "cert"),
        "-addext",
        "subjectAltName=DNS:localhost",
    )
    subprocess.run(["openssl", "req", *made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with server(answering(204), context) as (url, heard):
        secure = url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(HookError, match="certificate verify failed"):
            post(secure, BODY, key_file=None, timeout=5.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        post(secure, BODY, key_file=None, timeout=5.0)
        assert [body for _, body in heard] == [BODY]
        assert heard[0][0]["Host"] == secure.split("/")[2]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(HookError, match=f"^{url} did not answer within 0.3 s$"):
            post(url, BODY, key_file=None, timeout=0.3)


EXAMPLES = Path(__file__).parents[2] / "config" / "hooks"


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("curl")), reason="the examples need jq and curl")
def test_the_examples_do_what_they_say(tmp_path):
    moved = Notice(Topic.SWITCH, "gw", "2026-11-30T12:00:00.000Z", "moved", {"policy": "default", "to": "ams1/wg1"})
    other = moved._replace(details={"policy": "other", "to": "fra1/wg0"})
    blocked = moved._replace(details={"policy": "default", "to": None})
    path = tmp_path / "path"
    for one in (other, blocked):
        run((str(EXAMPLES / "shaper"), "default", str(path)), one.body(), user=US, timeout=20)
        assert not path.exists()
    run((str(EXAMPLES / "shaper"), "default", str(path)), moved.body(), user=US, timeout=20)
    assert path.read_text() == "ams1/wg1\n"
    out = Notice(Topic.OUTAGE, "gw", "2026-11-30T12:00:00.000Z", "out: it's $(dark)", {"over": False})
    with server(answering(200)) as (url, heard):
        run((str(EXAMPLES / "ntfy"), url), out.body(), user=US, timeout=20)
    ((headers, body),) = heard
    assert (headers["Title"], headers["Priority"], body) == ("gw", "urgent", b"out: it's $(dark)\n")
