"""Traces out of what other tools wrote.

The tools themselves wrote the samples in data/imports, on loopback (iputils 20221126, fping 5.1, mtr 0.95, irtt 0.9.0,
Prometheus 2.42 with blackbox_exporter 0.23); for a moment the kernel answered no echo. Only atlas.json is made up, by
the documented format.
"""

import gzip
import json
import lzma
from itertools import pairwise
from pathlib import Path

import pytest

from steerd.cli.steerd import main
from steerd.core.settings import PathId
from steerd.replay.imports.formats import FORMATS, recognise
from steerd.replay.imports.imported import Import, stem
from steerd.replay.imports.text import head
from steerd.replay.trace.reading import TraceError

DATA = Path(__file__).parent / "data" / "imports"


def groups(*files, known=None, targets=None, form=None):
    """What a trace of these files is: its times, each with what every path brought."""
    formats = [FORMATS[form] if form else recognise(head(file)) for file in files]
    trace = Import(list(zip(files, formats, strict=True)), targets or {}).trace(known or {})
    return [(one.sent_at, dict(zip(one.paths, one.rtts, strict=True))) for one in trace.groups()]


def column(found, path):
    return [row[path] for _, row in found if path in row]


def saved(path, text):
    path.write_text(text)
    return path


def told(capsys, *arguments):
    """The exit code, standard output and the lines of standard error."""
    try:
        code = main(["replay", "--no-baselines", *map(str, arguments)])
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ping-O.log", "ping"),
        ("ping-gaps.log", "ping"),
        ("ping-unreachable.log", "ping"),
        ("ping-without-D.log", "ping"),
        ("fping-l.log", "fping"),
        ("fping-c.log", "fping"),
        ("fping-without-D.log", "fping"),
        ("mtr.json", "mtr"),
        ("mtr.csv", "mtr"),
        ("mtr-stamped.jsonl", "mtr"),
        ("mtr-raw.txt", "mtr"),
        ("mtr-table.txt", "mtr"),
        ("irtt.json", "irtt"),
        ("atlas.json", "atlas"),
        ("prometheus-blackbox.json", "prometheus"),
        ("prometheus-rtt.json", "prometheus"),
        ("prometheus-instant.json", "prometheus"),
    ],
)
def test_a_format_is_recognised_by_content_and_by_one_parser_only(file, name):
    begin = head(DATA / file)
    assert recognise(begin).name == name
    assert [one for one, form in FORMATS.items() if form.recognises(begin)] == [name]


def test_a_csv_trace_is_none_of_them():
    assert recognise("time_s,path,rtt_ms\n0,PING x (,3\n") is None
    assert recognise("") is None


def test_probes_that_ping_had_no_answer_for_are_lost_with_and_without_its_option_for_them():
    for file, path in (("ping-O.log", "ping-O"), ("ping-gaps.log", "ping-gaps")):
        found = groups(DATA / file)
        rtts = column(found, path)
        assert len(rtts) == 25
        assert [number for number, rtt in enumerate(rtts, 1) if rtt is None] == [12, 13, 14, 15]
        times = [at for at, _ in found]
        assert all(0.09 < after - before < 0.12 for before, after in pairwise(times))
    assert column(groups(DATA / "ping-unreachable.log"), "ping-unreachable") == [None] * 3


def test_files_of_ping_are_paths_of_one_trace_on_one_grid(capsys):
    found = groups(DATA / "ping-O.log", DATA / "ping-gaps.log")
    assert len(found) == 25
    assert all(list(row) == ["ping-O", "ping-gaps"] for _, row in found)
    code, out, said = told(capsys, DATA / "ping-O.log", DATA / "ping-gaps.log")
    assert code == 0
    assert "50 probes, 25 samples of 2 paths" in out
    assert said == ["note: 2 files of ping as one trace, on a grid of 0.104 s"]
    _, out, _ = told(capsys, "--json", DATA / "ping-O.log", DATA / "ping-gaps.log")
    assert json.loads(out)["summary"]["paths"] == ["ping-O", "ping-gaps"]


def test_each_host_of_fping_is_a_path_and_what_timed_out_is_lost():
    found = groups(DATA / "fping-l.log")
    for path in ("127.0.0.1", "::1"):
        rtts = column(found, path)
        assert len(rtts) == 12
        assert [number for number, rtt in enumerate(rtts) if rtt is None] == [6, 7]
    assert rtts[0] == 0.012
    late = groups(DATA / "fping-c.log")  # [7] timed out is printed after the answer to [8]
    assert column(late, "127.0.0.1")[6:9] == [None, None, 0.008]


def test_a_file_that_a_tool_appended_to_has_one_run_after_the_other(tmp_path):
    first = (DATA / "ping-O.log").read_text()
    second = first.replace("[17959904", "[17960904")
    assert len(groups(saved(tmp_path / "ping.log", first + second))) == 50
    hosts = (DATA / "fping-l.log").read_text()
    later = hosts.replace("[17959904", "[17960904")
    found = groups(saved(tmp_path / "fping.log", hosts + later))
    assert len(column(found, "::1")) == len(column(found, "127.0.0.1")) == 24
    lost = "".join(
        f"[179609045{number}.00000] ::1 : [{number}], timed out (NaN avg, 100% loss)\n" for number in range(5)
    )
    assert column(groups(saved(tmp_path / "lost.log", hosts + lost)), "::1")[12:] == [None] * 5


def test_fping_tells_the_time_in_iso_too_and_not_without_a_zone(tmp_path):
    line = "[{}] h : [0], 64 bytes, 12.3 ms (12.3 avg, 0% loss)\n"
    found = groups(saved(tmp_path / "a.log", line.format("2026-11-29T22:14:19+0100")), form="fping")
    assert found == [(1795986858.9877, {"h": 12.3})]
    for stamp in ("2026-11-29 22:14:19", "Sun Nov 29 22:14:19 2026"):
        with pytest.raises(TraceError, match="is not a time with a zone"):
            groups(saved(tmp_path / "b.log", line.format(stamp)), form="fping")


def test_reports_of_mtr_are_a_sample_each_if_they_have_a_time(capsys):
    found = groups(DATA / "mtr.csv")
    assert column(found, "mtr") == [0.08, 0.07, 0.06]
    assert found[0][0] == 1795990998.0
    assert len(groups(DATA / "mtr-stamped.jsonl")) == 2
    for file in ("mtr.json", "mtr-raw.txt", "mtr-table.txt"):
        code, _, said = told(capsys, DATA / file)
        assert (code, len(said)) == (1, 1)
        assert "mtr --csv" in said[0]


def test_a_report_of_mtr_that_lost_half_of_its_probes_counts_as_lost(tmp_path):
    report = (DATA / "mtr.csv").read_text()
    assert column(groups(saved(tmp_path / "a.csv", report.replace(",0.00,3,0", ",50.00,3,0"))), "a") == [None] * 3
    assert None not in column(groups(saved(tmp_path / "b.csv", report.replace(",0.00,3,0", ",33.33,3,0"))), "b")


def test_the_last_hop_of_a_report_of_mtr_counts(tmp_path):
    lines = (DATA / "mtr.csv").read_text().splitlines()[:2]
    lines.append(lines[1].replace(",1,127.0.0.1,", ",2,192.0.2.9,").replace("0.08", "9.50"))
    lines.append(lines[2].replace("192.0.2.9", "192.0.2.10"))  # --report-wide: another address of the same hop
    assert column(groups(saved(tmp_path / "a.csv", "\n".join(lines))), "a") == [9.5]


def test_irtt_tells_each_probe_in_nanoseconds():
    rtts = column(groups(DATA / "irtt.json"), "irtt")
    assert len(rtts) == 9
    assert rtts[-3:] == [pytest.approx(0.0282), pytest.approx(0.126972), None]


def test_atlas_is_a_sample_a_result_and_paths_are_what_varies(tmp_path):
    results = json.loads((DATA / "atlas.json").read_text())
    found = groups(DATA / "atlas.json")
    assert column(found, "fra1.example.net") == [20.5, 21.0, None]
    assert column(found, "ams1.example.net") == [28.1, 28.2, 28.4]
    lines = "\n".join(
        json.dumps({**one, "dst_name": "x", "prb_id": len(one["dst_name"]) + n % 2}) for n, one in enumerate(results)
    )
    found = groups(saved(tmp_path / "lines.json", lines))
    assert {path for _, row in found for path in row} == {"probe-16", "probe-17"}
    with pytest.raises(TraceError, match=r"only ping measurements"):
        groups(saved(tmp_path / "t.json", json.dumps([{**results[0], "type": "traceroute"}])))


def test_prometheus_has_paths_by_instance_and_losses_where_a_probe_failed():
    for file in ("prometheus-blackbox.json", "prometheus-rtt.json"):
        found = groups(DATA / file)
        assert len(found) == 21
        rtts = column(found, "127.0.0.1")
        assert rtts[0] == pytest.approx(0.134125)
        assert [number for number, rtt in enumerate(rtts) if rtt is None] == [7, 8, 9, 10, 11]


def test_a_step_that_prometheus_has_no_value_for_is_lost(tmp_path):
    def series(host, points):
        return {"metric": {"host": host, "ip": "192.0.2.1"}, "values": [[at, value] for at, value in points]}

    answer = {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                series("a", [(10, "0.02"), (20, "NaN"), (30, "0.03")]),
                series("b", [(20, "0.05"), (40, "0.05")]),
            ],
        },
    }
    found = groups(saved(tmp_path / "t.json", json.dumps(answer)))
    assert column(found, "a") == [20.0, None, 30.0, None]
    assert column(found, "b") == [50.0, None, 50.0]
    assert [at for at, _ in found] == [10.0, 20.0, 30.0, 40.0]


def test_prometheus_answers_can_stand_one_after_the_other_in_a_file(tmp_path):
    answers = json.loads((DATA / "prometheus-blackbox.json").read_text())
    whole = [one for one in answers["data"]["result"] if one["metric"]["__name__"] == "probe_duration_seconds"]
    alone = {**answers, "data": {"resultType": "matrix", "result": whole}}
    with pytest.raises(TraceError, match="without probe_success"):
        groups(saved(tmp_path / "whole.json", json.dumps(alone)))
    success = (DATA / "prometheus-success.json").read_text()
    found = groups(saved(tmp_path / "both.json", json.dumps(alone) + success))
    assert column(found, "127.0.0.1").count(None) == 5


@pytest.mark.parametrize(
    "file", ["ping-O.log", "fping-l.log", "mtr.csv", "irtt.json", "atlas.json", "prometheus-rtt.json"]
)
def test_compressed_files_are_read_whatever_they_are_called(tmp_path, file):
    plain = tmp_path / file
    plain.write_bytes((DATA / file).read_bytes())
    found = groups(plain)
    for name, data in (
        (f"{file}.gz", gzip.compress(plain.read_bytes())),
        (f"{file}.xz", lzma.compress(plain.read_bytes())),
    ):
        (tmp_path / name).write_bytes(data)
        assert groups(tmp_path / name) == found
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    assert groups(plain) == found


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("d/fra1.log.gz", "fra1"),
        ("fra1", "fra1"),
        ("192.0.2.1", "192.0.2.1"),
        ("a.b.txt", "a.b"),
        (".hidden", ".hidden"),
        ("fra1-wg0.json.xz", "fra1-wg0"),
    ],
)
def test_a_path_is_called_as_its_file(file, name):
    assert stem(Path(file)) == name


def test_with_a_configuration_paths_are_found_by_file_name_or_by_target(tmp_path):
    known = {"fra1/wg0": PathId("fra1/wg0"), "ams1/wg0": PathId("ams1/wg0"), "ams1": PathId("ams1/wg0")}
    fra1 = saved(tmp_path / "fra1-wg0.log", (DATA / "ping-O.log").read_text())
    other = saved(tmp_path / "monday.log", (DATA / "ping-gaps.log").read_text())
    found = groups(fra1, other, known=known, targets={"::1": PathId("ams1/wg0")})
    assert list(found[0][1]) == ["fra1/wg0", "ams1/wg0"]
    with pytest.raises(TraceError, match="path 'monday' is not in the configuration, which knows ams1, ams1/wg0, fra1"):
        groups(other, known=known)
    with pytest.raises(TraceError, match=r"fra1-wg0 and 127\.0\.0\.1 are both path fra1/wg0"):
        groups(
            fra1,
            DATA / "fping-l.log",
            known=known,
            targets={"127.0.0.1": PathId("fra1/wg0"), "::1": PathId("ams1/wg0")},
        )


def test_targets_of_the_configuration_name_paths(tmp_path, capsys):
    config = saved(tmp_path / "steerd.toml", "\n".join(
        f'[[pop]]\nname = "{pop}"\n[[pop.paths]]\nname = "wg0"\ndev = "wg-{pop}"\ntarget = "{target}"\n'
        for pop, target in (("fra1", "192.0.2.1"), ("ams1", "192.0.2.2"))
    ))  # fmt: skip
    # Whose targets are this machine's own, which no path may have.
    log = saved(tmp_path / "fping-c.log", (DATA / "fping-c.log").read_text().replace("127.0.0.", "192.0.2."))
    code, out, said = told(capsys, "-c", config, "--json", log)
    if code == 78:
        pytest.fail("\n".join(said))
    assert json.loads(out)["summary"]["paths"] == ["192.0.2.1", "192.0.2.2"]


def test_days_of_one_path_are_one_after_the_other_and_never_at_the_same_time(tmp_path):
    lines = (DATA / "ping-O.log").read_text()
    (tmp_path / "tuesday").mkdir()
    monday = saved(tmp_path / "fra1.log", lines)
    tuesday = saved(tmp_path / "tuesday" / "fra1.log", lines.replace("[17959904", "[17960904"))
    for files in ((monday, tuesday), (tuesday, monday)):
        found = groups(*files)
        assert len(found) == 50
        assert [at for at, _ in found] == sorted(at for at, _ in found)
    with pytest.raises(TraceError, match=r"tuesday/fra1\.log: path fra1 is in .*fra1\.log too, at the same time"):
        groups(monday, saved(tuesday, lines))


def test_a_format_can_be_forced_and_must_be_one_that_is_known(tmp_path, capsys):
    code, _, said = told(capsys, "--from", "fping", DATA / "ping-O.log")
    assert (code, len(said)) == (1, 1)
    assert said[0].endswith("ping-O.log:1: has no probe in it that fping would have printed")
    code, _, said = told(capsys, "--from", "smokeping", DATA / "ping-O.log")
    assert (code, said) == (
        2,
        ["steerd replay: --from smokeping: the formats are csv, ping, fping, mtr, irtt, atlas, prometheus"],
    )
    code, _, said = told(capsys, "--from", "csv", DATA / "ping-O.log")
    assert code == 1
    assert "the header is PING" in said[0]
    for name in ("a.log", "b.log"):
        saved(tmp_path / name, (DATA / "ping-O.log").read_text())
    _, out, _ = told(capsys, "--from", "ping", "--json", tmp_path)
    assert json.loads(out)["summary"]["paths"] == ["a", "b"]


def test_what_is_in_no_known_format_is_told_in_one_line(tmp_path, capsys):
    saved(tmp_path / "empty.log", "")
    saved(tmp_path / "prose.txt", "It was slow on Monday.\n")
    (tmp_path / "binary.log").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "cut.log.gz").write_bytes(gzip.compress((DATA / "ping-O.log").read_bytes())[:-30])
    (tmp_path / "cut.json").write_text((DATA / "irtt.json").read_text()[:-2000])
    (tmp_path / "cut.log").write_text((DATA / "ping-gaps.log").read_text()[:700].rstrip()[:-20])
    (tmp_path / "nul.log").write_bytes((DATA / "ping-O.log").read_bytes() + b"\0\0\0")
    (tmp_path / "latin.log").write_bytes((DATA / "ping-O.log").read_bytes() + b"\xe9\n")
    (tmp_path / "long.log").write_text((DATA / "ping-O.log").read_text() + "x" * 100_000)
    for name in (
        "empty.log",
        "prose.txt",
        "binary.log",
        "cut.log.gz",
        "cut.json",
        "cut.log",
        "nul.log",
        "latin.log",
        "long.log",
    ):
        code, out, said = told(capsys, tmp_path / name)
        assert (code, out, len(said)) == (1, "", 1), (name, said)
        assert said[0].startswith(f"steerd replay: {tmp_path / name}:"), said


def test_what_would_steer_a_terminal_is_printed_as_escapes(tmp_path, capsys):
    file = saved(tmp_path / "t.log", (DATA / "fping-l.log").read_text().replace("127.0.0.1", "\x1b[2Jevil\x9b"))
    _, out, _ = told(capsys, file)
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\\x1b[2Jevil\\x9b" in out or "::1" in out
    bad = saved(
        tmp_path / "u.log", "[1.5] 64 bytes from \x1b]0;x\x07: icmp_seq=1 broken\n" + (DATA / "ping-O.log").read_text()
    )
    code, _, said = told(capsys, bad)
    assert code == 1
    assert said[0].isprintable()
