"""What libraries log of MQTT does not fill the disk."""

import logging

from steerd.share.mqtt.quiet import LIBRARIES, OncePerKind
from steerd.share.refusals import SAID_EVERY


def test_each_kind_of_line_comes_once_a_minute_and_without_a_traceback():
    clock = [0.0]
    limit = OncePerKind(lambda: clock[0])

    def said(text: str, *values: object) -> bool:
        record = logging.LogRecord("x", logging.ERROR, "", 0, text, values, (KeyError, KeyError("x"), None))
        return limit.filter(record) and record.exc_info is None

    unknown = 'Unexpected message ID "%d" in on_subscribe callback'
    assert [said(unknown, n) for n in range(5)] == [True] + [False] * 4
    assert said("another kind")
    clock[0] = SAID_EVERY
    assert [said(unknown, n) for n in range(5)] == [True] + [False] * 4


def test_the_libraries_log_is_limited():
    assert any(isinstance(one, OncePerKind) for one in LIBRARIES.filters)
