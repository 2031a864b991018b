"""Replay: traces in, switches and J out."""

import gzip
import json
import lzma
from math import isnan

import pytest

from steerd.cli.steerd import main
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.replay.account.price import Ledger, account
from steerd.replay.run import run
from steerd.replay.trace.reading import Trace, TraceError


def write(path, rows, header="time_s,path,rtt_ms"):
    text = "\n".join([header, *rows]) + "\n"
    data = text.encode()
    path.write_bytes({".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(data))
    return path


def step(until=60, at=30):
    """Path a is better, then it is not."""
    return [f"{n},{p},{rtt}" for n in range(until) for p, rtt in (("a", 20 if n < at else 70), ("b", 30))]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.xz"])
def test_a_step_is_followed(tmp_path, suffix):
    report = run(write(tmp_path / f"t{suffix}", step()), Settings()).report()
    first, second = report["switches"]
    assert first == {"time_s": 0.0, "from": None, "to": "a", "reason": "start"}
    assert (second["from"], second["to"], second["reason"]) == ("a", "b", "better")
    assert 30 < second["time_s"] < 38
    assert report["summary"]["switches"] == 1


def test_the_first_choice_falls_on_the_first_reply(tmp_path):
    rows = ["0,a,", "0,b,", "1,a,", "1,b,40", "2,a,10", "2,b,40"]
    assert run(write(tmp_path / "t.csv", rows), Settings()).report()["switches"][0]["time_s"] == 1.0


def test_a_path_that_is_measured_less_often_cuts_no_time_short(tmp_path):
    """The last time of a trace decides with its one row, as the like of it did before."""
    alone = []
    for odd in (0, 1):  # one of them has the switch at a time with one row
        rows = [row for n in range(60) for row in [f"{n},a,{20 if n < 40 else 90}"] + [f"{n},b,30"] * (n % 2 == odd)]
        whole = run(write(tmp_path / "t.csv", rows), Settings()).report()["switches"]
        at = whole[-1]["time_s"]
        alone.append(at % 2 != odd)
        cut = [row for row in rows if float(row.split(",")[0]) <= at]
        assert run(write(tmp_path / "t.csv", cut), Settings()).report()["switches"] == whole
    assert any(alone)


def test_a_trace_cut_short_gives_the_same_switches(tmp_path):
    rows = [f"{n},{p},{20 + (n * m) % 41}" for n in range(300) for p, m in (("a", 7), ("b", 11), ("c", 13))]
    whole = run(write(tmp_path / "t.csv", rows), Settings()).report()["switches"]
    for cut in range(3, len(rows), 37):
        some = run(write(tmp_path / "t.csv", rows[:cut]), Settings()).report()["switches"]
        decided = (cut // 3) - 1  # the last time all rows of which are there
        assert some == [one for one in whole if one["time_s"] <= decided]


def test_what_spreadsheets_make_of_a_trace_changes_nothing(tmp_path):
    """Blank lines, CRLF and a byte order mark."""
    plain = write(tmp_path / "t.csv", step())
    odd = tmp_path / "odd.csv"
    odd.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert run(odd, Settings()).report()["switches"] == run(plain, Settings()).report()["switches"]


def test_what_is_no_text_or_no_file_is_said_in_words(tmp_path):
    (tmp_path / "wide.csv").write_bytes("time_s,path,rtt_ms\n".encode("utf-16"))
    with pytest.raises(TraceError, match=r"wide\.csv:1: must be UTF-8 text$"):
        run(tmp_path / "wide.csv", Settings())
    with pytest.raises(TraceError, match=r"none\.csv: cannot be read: No such file or directory$"):
        run(tmp_path / "none.csv", Settings())


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        (["1,a,20", "0,a,20"], 3, "sorted"),
        (["0,a,twenty"], 2, "twenty"),
        (["0,a,20", "", "1,a,x"], 4, "x"),
        (["0,a"], 2, "not a row"),
        (["0,a,20,5"], 2, "not a row"),
        (["nan,a,20"], 2, "time"),
        (["0,a,-4"], 2, "rtt_ms"),
        (["0,a,nan"], 2, "rtt_ms"),
        (["0,a,inf"], 2, "rtt_ms"),
    ],
)
def test_what_is_no_trace_names_the_line(tmp_path, rows, line, what):
    with pytest.raises(TraceError, match=what) as error:
        run(write(tmp_path / "t.csv", rows), Settings())
    assert f"t.csv:{line}:" in str(error.value)


def test_a_wrong_header_and_a_missing_file_are_said(tmp_path):
    with pytest.raises(TraceError, match="header"):
        run(write(tmp_path / "t.csv", [], header="time,path,rtt"), Settings())
    with pytest.raises(TraceError, match="No such file"):
        run(tmp_path / "none.csv", Settings())
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(TraceError, match=r"empty\.csv:1: is empty"):
        run(tmp_path / "empty.csv", Settings())
    (tmp_path / "broken.csv.xz").write_bytes(b"no xz at all")
    with pytest.raises(TraceError, match="cannot be read"):
        run(tmp_path / "broken.csv.xz", Settings())


def test_paths_that_the_configuration_does_not_know_are_an_error(tmp_path):
    with pytest.raises(TraceError, match="'b' is not in the configuration"):
        list(Trace(write(tmp_path / "t.csv", ["0,b,20"]), {"a": "a/w"}).groups())


def test_a_path_that_appears_later_does_not_win_by_being_new(tmp_path):
    rows = [f"{n},a,30" for n in range(50)]
    for n in range(50, 100):
        rows += [f"{n},a,30", f"{n},b,20"]
    switches = run(write(tmp_path / "t.csv", rows), Settings()).report()["switches"]
    assert [one["to"] for one in switches] == ["a", "b"]
    assert switches[1]["time_s"] >= 54  # with its fifth sample


def test_a_path_with_a_target_in_each_family_is_replayed_by_its_one_row(tmp_path):
    paths = tuple(PathSettings(PathId(name), name, name, legs=2) for name in ("a", "b"))
    switches = run(write(tmp_path / "t.csv", step()), Settings(paths=paths)).report()["switches"]
    assert [one["to"] for one in switches] == ["a", "b"]


def ledger(columns, choices):
    book = Ledger()
    last = None
    for n, choice in enumerate(choices):
        if choice != last:
            book.choose(choice)
        last = choice
        book.add(list(columns), [column[n] for column in columns.values()])
    return book


def score(book):
    samples = book.samples()
    return account(samples, book.choices).score(samples.placed(book.choices), 100.0)


def test_j_by_hand():
    """20 free samples, then: 10 on a at 10 ms, a switch, 10 on b at 5 ms, one of them lost."""
    columns = {"a": [10.0] * 30 + [50.0] * 10, "b": [20.0] * 30 + [5.0] * 9 + [None]}
    found = score(ledger(columns, ["a"] * 31 + ["b"] * 9))
    lost = 20.0 + 200.0
    assert found.samples == 20
    assert found.j == pytest.approx((10 * 10 + 50 + 100 + 8 * 5 + lost) / 20)
    assert found.j_start == pytest.approx((10 * 10 + 50 * 10) / 20)
    back = 100 + 50  # cheaper than the lost probe
    assert found.j_optimum == pytest.approx((10 * 10 + 100 + 9 * 5 + back) / 20)


def test_an_rtt_costs_two_seconds_at_most_and_no_gain_is_no_gap():
    found = score(ledger({"a": [5000.0] * 30}, ["a"] * 30))
    assert (found.j, found.j_start, found.j_optimum) == (2000.0, 2000.0, 2000.0)
    assert isnan(found.gap_left)


def test_a_path_without_a_row_costs_what_it_did_last():
    book = Ledger()
    book.choose("b")
    for n in range(30):
        book.add(*((["a", "b"], [10.0, 4.0]) if n < 25 else (["a"], [10.0])))
    assert score(book).j == pytest.approx(4.0)


def test_rows_in_any_order_and_twice_in_one_time_come_to_the_same():
    """However a sample's rows lie, a path pays what its last row of that time says."""
    plain, mixed = Ledger(), Ledger()
    for book in (plain, mixed):
        book.choose("a")
    for n in range(60):
        plain.add(["a", "b"], [10.0 + n, 40.0])
        if n % 3:
            mixed.add(["b", "a"], [40.0, 10.0 + n])
        else:
            mixed.add(["a", "b", "a"], [99.0, 40.0, 10.0 + n])
    assert score(mixed) == score(plain)


def test_choices_within_one_sample_are_one_move_and_the_free_samples_pay_for_none():
    book = Ledger()
    for n in range(40):
        if n == 10:
            book.choose("a")
        if n == 30:
            book.choose("b")
            book.choose("a")
        book.add(["a", "b"], [10.0, 12.0])
    book.choose("b")  # pays from the next sample on, and there is none
    assert score(book).j == pytest.approx(10.0)


def test_the_command_prints_an_object_for_one_trace_and_a_list_for_more(tmp_path, capsys):
    trace = str(write(tmp_path / "t.csv", step()))
    assert main(["replay", "--json", trace]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["switches"] == 1
    assert main(["replay", "--json", trace, trace]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["replay", trace]) == 0
    shown = capsys.readouterr().out
    assert "panel (steerd)" in shown
    assert "babeld" in shown
    assert "a -> b  (better)" in shown


def test_the_command_fails_with_one_line(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "none.csv")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "bad.toml").write_text("[steer]\nrule = 'best'\n")
    assert main(["replay", "-c", str(tmp_path / "bad.toml"), str(tmp_path / "none.csv")]) == 78
    assert "steer.rule" in capsys.readouterr().err
