"""What the reflector answers to whom, and the files and options it is given."""

import argparse
import ipaddress
import itertools
import signal
import socket
import subprocess
import sys
import time

import pytest

from steerd.cli import arguments
from steerd.cli.steerd import main
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv as stamp_tlv
from steerd.reflect import allowance
from steerd.reflect.reflector import DropReason, Question, Reflector

KEY = bytes(range(32))
SOURCE = socket.inet_pton(socket.AF_INET, "192.0.2.7")
LOCAL = socket.inet_pton(socket.AF_INET, "192.0.2.1")
RECEIVED_NS = 1_795_435_200_000_000_000
SENT_NS = RECEIVED_NS + 250_000


def question(sequence: int = 5, *, key: bytes | None = None, ssid: int = 9, tlvs: bytes = b"", **changes) -> Question:
    data = stamp.pack(stamp.SenderPacket(sequence, 0xABCDEF0123456789, 0x8101, ssid, tlvs), key)
    return Question(data, SOURCE, 40_000, LOCAL, 61, RECEIVED_NS)._replace(**changes)


def ask(subject: Reflector, asked: Question, now: float = 0.0, key: bytes | None = None) -> stamp.ReflectedPacket:
    answer = subject.answer(asked, now, SENT_NS)
    assert answer is not None, subject.dropped
    assert len(answer) == len(asked.data)
    read = stamp.read_reflected(answer, key)
    assert read is not None
    return read


@pytest.mark.parametrize("key", [None, KEY])
def test_an_answer_holds_what_was_asked_and_when(key):
    padding = stamp_tlv.padding(200, signed=key is not None)
    read = ask(Reflector(key=key), question(key=key, tlvs=padding), key=key)
    assert (read.sequence, read.ssid, read.sender_sequence, read.sender_ttl) == (0, 9, 5, 61)
    assert (read.sender_timestamp, read.sender_error) == (0xABCDEF0123456789, 0x8101)
    assert (stamp.nanoseconds(read.received), stamp.nanoseconds(read.timestamp)) == (RECEIVED_NS, SENT_NS)
    assert read.tlvs == b"\0" + padding[1:]


def test_each_session_has_a_sequence_of_its_own():
    subject = Reflector(key=None)
    others = [question(ssid=10), question(port=40_001), question(local=SOURCE), question(source=LOCAL)]
    assert [ask(subject, question()).sequence for _ in range(3)] == [0, 1, 2]
    assert [ask(subject, other).sequence for other in others] == [0] * 4
    assert ask(subject, question()).sequence == 3
    assert subject.sessions == 5


def test_a_session_is_forgotten_once_it_was_quiet_for_long():
    subject = Reflector(key=None)
    ask(subject, question(), 0.0)
    assert ask(subject, question(), allowance.IDLE).sequence == 1
    assert ask(subject, question(), 2 * allowance.IDLE + 1).sequence == 0


def test_the_tables_are_bounded_and_the_quietest_goes_first(monkeypatch):
    monkeypatch.setattr(allowance, "CAPACITY", 10)
    subject = Reflector(key=None, rate=1000)
    for port in range(2000, 2100):
        ask(subject, question(), 0.0)
        ask(subject, question(port=port), 0.0)
    assert subject.sessions == 10
    assert ask(subject, question()).sequence == 100
    assert ask(subject, question(port=2000)).sequence == 0


def refused(subject: Reflector, asked: Question, now: float = 0.0) -> DropReason | None:
    before = subject.dropped.copy()
    if subject.answer(asked, now, SENT_NS) is not None:
        return None
    (reason,) = subject.dropped - before
    return reason


def test_the_rate_of_a_session_is_limited_and_not_that_of_another():
    subject = Reflector(key=None, rate=10)
    assert [refused(subject, question()) for _ in range(22)] == [None] * 20 + [DropReason.RATE] * 2
    for other in (question(source=LOCAL), question(port=40_001), question(ssid=10)):
        assert refused(subject, other) is None
    assert [refused(subject, question(), 0.5) for _ in range(6)] == [None] * 5 + [DropReason.RATE]
    assert [refused(subject, question(), 3.0) for _ in range(21)] == [None] * 20 + [DropReason.RATE]
    assert (subject.received, subject.reflected) == (52, 48)
    assert subject.allowance.refused == {(SOURCE, 10): 4}


@pytest.mark.parametrize("demand", [110, 150, 195])
def test_sessions_of_one_address_are_refused_in_turn_and_none_three_times(demand):
    """On a fixed grid, as probers send: a bucket alone would refuse the same ones each time."""
    subject = Reflector(key=None, rate=10)  # 100 a second for all
    answered = {port: [] for port in range(40_000, 40_000 + demand // 5)}
    for step in range(5 * 60):
        for port, seen in answered.items():
            at = step / 5 + (port - 40_000) / demand
            seen.append(refused(subject, question(port=port), at) is None)
    late = [seen[len(seen) // 2 :] for seen in answered.values()]
    assert sum(map(sum, late)) == pytest.approx(100 * 30, rel=0.05)
    assert not any((False, False) in itertools.pairwise(seen) for seen in late)


def test_an_address_with_many_sessions_has_a_limit():
    subject = Reflector(key=None, rate=10)
    flood = [question(port=port) for port in range(2000, 3000)]
    granted = sum(refused(subject, one, n / 10_000) is None for n, one in enumerate(flood * 10))
    assert granted < 2 * 2 * 100 + 100 + 10
    assert refused(subject, question(source=LOCAL), 1.0) is None


def test_what_is_not_signed_is_dropped_and_costs_the_source_nothing():
    subject = Reflector(key=KEY, rate=1)
    for data in (question(tlvs=bytes(68)).data, question(key=KEY[::-1]).data):
        for _ in range(5):
            assert refused(subject, question(data=data)) is DropReason.UNAUTHENTICATED
    assert refused(subject, question(data=question(key=KEY).data[:111])) is DropReason.SHORT
    assert refused(subject, question(key=KEY)) is None


def test_short_packets_and_foreign_sources_are_dropped():
    subject = Reflector(key=None, allowed=[ipaddress.ip_network("192.0.2.0/29"), ipaddress.ip_network("2001:db8::/32")])
    assert refused(subject, question(data=question().data[:43])) is DropReason.SHORT
    assert refused(subject, question(source=socket.inet_pton(socket.AF_INET, "192.0.2.8"))) is DropReason.NOT_ALLOWED
    assert refused(subject, question(source=socket.inet_pton(socket.AF_INET6, "2001:db9::1"))) is DropReason.NOT_ALLOWED
    assert refused(subject, question(source=socket.inet_pton(socket.AF_INET6, "2001:db8::1"))) is None
    assert refused(subject, question()) is None


def test_two_reflectors_never_answer_each_other():
    subject = Reflector(key=None, ports=[4862])
    for port in (862, 53, 1023, 4862):
        assert refused(subject, question(port=port)) is DropReason.PORT
    assert refused(subject, question(port=1024)) is None


def test_a_key_is_read(tmp_path):
    file = tmp_path / "stamp.key"
    file.write_text(f"\n  {KEY.hex().upper()}\r\n")
    assert read_key(file) == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the key has 0 bytes, and needs 16 at least"),
        ("00" * 15, "the key has 15 bytes, and needs 16 at least"),
        ("0" * 33, "hexadecimal"),
        ("00" * 16 + " " + "00" * 16, "hexadecimal"),
        ("gg" * 16, "hexadecimal"),
        ("\N{FULLWIDTH DIGIT ONE}" * 32, "hexadecimal"),
    ],
)
def test_a_key_that_is_none_is_refused_and_not_told(tmp_path, text, said):
    file = tmp_path / "stamp.key"
    file.write_text(text)
    with pytest.raises(KeyFileError) as raised:
        read_key(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "gggg" not in str(raised.value)


def test_a_missing_key_names_its_file(tmp_path, capsys):
    assert main(["reflect", "--key-file", str(tmp_path / "none")]) == 1
    assert (
        capsys.readouterr().err == f"steerd reflect: {tmp_path}/none: cannot read the key: No such file or directory\n"
    )


def test_a_port_that_is_taken_is_said_in_a_line(capsys):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert main(["reflect", "--listen", f"127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err == f"steerd reflect: cannot listen on 127.0.0.1:{port}: the port is taken\n"


def test_endpoints_are_an_address_and_a_port():
    assert arguments.endpoint("192.0.2.1:862") == ("192.0.2.1", 862)
    assert arguments.endpoint("[::]:0") == ("::", 0)
    for text in ("192.0.2.1", "::1:862", "[192.0.2.1]:862", "[::1]", "host:862", "192.0.2.1:65536", "192.0.2.1:-1", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            arguments.endpoint(text)


@pytest.mark.parametrize(
    "options", [["--rate", "0"], ["--rate", "inf"], ["--allow", "192.0.2.1/24"], ["--listen", "x"]]
)
def test_bad_options_are_a_matter_of_usage(options):
    with pytest.raises(SystemExit) as raised:
        main(["reflect", *options])
    assert raised.value.code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_answers_until_a_signal_and_counts(number):
    command = [sys.executable, "-m", "steerd.cli.steerd", "reflect", "--listen", "127.0.0.1:0", "--listen", "[::1]:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        where = [word.strip(",") for word in line.split() if word.strip(",[").startswith(("127.", "::1"))]
        for text in where:
            address, port = arguments.endpoint(text)
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.settimeout(2)
                sender.setsockopt(*((socket.IPPROTO_IPV6, 16) if ":" in address else (socket.IPPROTO_IP, 2)), 33)
                sender.sendto(question().data, (address, port))
                before = time.time_ns()
                read = stamp.read_reflected(sender.recv(2000), None)
                assert (read.sequence, read.sender_sequence, read.sender_ttl) == (0, 5, 33)
                received, sent = stamp.nanoseconds(read.received), stamp.nanoseconds(read.timestamp)
                assert before - 10**9 < received < sent < time.time_ns()
                sender.sendto(b"short", (address, port))
        time.sleep(0.1)
        process.send_signal(number)
        _, rest = process.communicate(timeout=5)
    assert len(where) == 2
    assert process.returncode == 0
    assert "received 4, reflected 2, dropped 2 (short 2); 2 sessions" in rest
    assert "Traceback" not in rest
