"""What a resolver is asked, and what is an answer."""

import struct

import pytest

from steerd.probe.methods.dns import judged, query, question

NAME = "www.example.net"


def answer(number=7, flags=0x8180, name=NAME, questions=1, more=b""):
    return struct.pack("!6H", number, flags, questions, 0, 0, 0) + (question(name) if questions else b"") + more


def test_a_query_is_what_rfc_1035_says():
    assert query(0x1234, NAME).hex(" ") == (
        "12 34 01 00 00 01 00 00 00 00 00 00 03 77 77 77 07 65 78 61 6d 70 6c 65 03 6e 65 74 00 00 01 00 01"
    )
    assert query(1, ".").hex(" ") == "00 01 01 00 00 01 00 00 00 00 00 00 00 00 02 00 01"


@pytest.mark.parametrize("more", [b"", b"\xff" * 400])
def test_an_answer_without_an_error_is_one_whatever_it_holds(more):
    assert judged(answer(more=more), 7, NAME) == ""
    assert judged(answer(name="WWW.example.NET"), 7, NAME) == ""


@pytest.mark.parametrize(
    ("code", "word"), [(1, "FORMERR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (4, "NOTIMP"), (5, "REFUSED")]
)
@pytest.mark.parametrize("questions", [0, 1])
def test_one_with_an_error_is_none_and_is_named(code, word, questions):
    found = judged(answer(flags=0x8180 | code, questions=questions), 7, NAME)
    assert found == f"answered {word} to a query for {NAME}"
    assert judged(answer(flags=0x8189), 7, NAME) == f"answered with error 9 to a query for {NAME}"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        answer()[:11],
        answer(number=8),
        answer(flags=0x0100),  # a query
        answer(name="www.example.org"),
        answer(name="."),
        answer(questions=0),
        answer()[:20],
    ],
)
def test_what_does_not_belong_to_the_query_is_passed_over(packet):
    assert judged(packet, 7, NAME) is None
