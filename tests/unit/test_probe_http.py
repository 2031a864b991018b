"""What is an answer, and what is a captive portal's."""

import pytest

from steerd.config.probe_settings import HttpCheck
from steerd.probe.methods.http import MOST, judged, request

CHECK = HttpCheck("connectivity.example:8080", "/generate_204?a=b")
BODY = HttpCheck("connectivity.example", "/success.txt", status=200, body=b"success")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n<html>log in</html>"


def test_what_is_asked():
    assert request(CHECK) == (
        b"GET /generate_204?a=b HTTP/1.1\r\nHost: connectivity.example:8080\r\n"
        b"User-Agent: steerd\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "check", "said"),
    [
        (NO_CONTENT, CHECK, ""),
        (b"HTTP/1.0 204 \r\n", CHECK, ""),
        (REDIRECT, CHECK, "answered 302 (to http://portal.example/login), not 204"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", CHECK, "answered 200, not 204"),
        (b"HTTP/1.1 511 Network Authentication Required\r\n\r\n", CHECK, "answered 511, not 204"),
        (b"HTTP/1.1 200 OK\r\n\r\nsuccess\n", BODY, ""),
        (b"HTTP/1.1 200 OK\r\nX: success\r\n\r\nlog in\n", BODY, "answered 200 with another body than is expected"),
        (b"SSH-2.0-OpenSSH\r\n", CHECK, "answered what is no HTTP"),
        (b"", CHECK, "closed the connection without an answer"),
        (b"HTTP/1.1 2", CHECK, "answered what is no HTTP"),
        (b"\x00" * MOST, CHECK, "answered what is no HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: \x1b[31mred\r\n\r\n", CHECK, "answered 302 (to \\x1b[31mred), not 204"),
    ],
)
def test_whole_answers(answer, check, said):
    assert judged(answer, check, ended=True) == said


@pytest.mark.parametrize(
    ("answer", "check"), [(NO_CONTENT, CHECK), (REDIRECT, CHECK), (b"HTTP/1.1 200 OK\r\n\r\nsuccess", BODY)]
)
def test_an_answer_in_pieces_is_judged_once_it_says_enough(answer, check):
    whole = judged(answer, check, ended=True)
    for length in range(len(answer)):
        assert judged(answer[:length], check, ended=False) in {None, whole}


def test_no_answer_is_waited_for_beyond_what_is_looked_at():
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * MOST
    assert judged(endless[:MOST], BODY, ended=False) == "answered 200 with another body than is expected"
    assert judged((b"HTTP/1.1 302 Found\r\nX: " + b"x" * MOST)[:MOST], CHECK, ended=False) == "answered 302, not 204"
