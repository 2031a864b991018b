"""Changed keys into a configuration that a person wrote: these, and nothing else."""

import tomllib
from pathlib import Path

import pytest

from steerd.config.document import Document
from steerd.config.problem import Report
from steerd.config.read import document
from steerd.tune.knobs import KNOBS, Change, Knobs
from steerd.tune.rewrite import RewriteError, check_writable, edited, rewrite

EXAMPLE = Path(__file__).parents[2] / "config" / "steerd.toml"


def knobs(text):
    return Knobs.of(document(tomllib.loads(text), Report(Path())))


def put(text, **values):
    present = knobs(text)
    wanted = present.put(values)
    return edited(text, present.changes(wanted), wanted)


def differing(old, new):
    return sorted(set(new.splitlines()) - set(old.splitlines())), sorted(set(old.splitlines()) - set(new.splitlines()))


def test_of_the_commented_example_only_these_lines_change_and_comments_stay_below_each_other():
    old = EXAMPLE.read_text()
    new = put(old, half_life=1.5, ignore_below=0.5)
    came, went = differing(old, new)
    assert [line.split("#")[0].strip() for line in came] == ['half_life = "1.5s"', 'ignore_below = "0.5ms"']
    assert [line[line.index("#") :] for line in came] == [line[line.index("#") :] for line in went]
    assert [line.index("#") for line in came[:1]] == [line.index("#") for line in went[:1]]
    assert len(old.splitlines()) == len(new.splitlines())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", '[score]\nhalf_life = "3s"\n'),
        ("# mine\n", '# mine\n\n[score]\nhalf_life = "3s"\n'),
        ("[score] # x\n", '[score] # x\nhalf_life = "3s"\n'),
        ('score.half_life = "1s" # y\n', 'score.half_life = "3s" # y\n'),
        ('score = { half_life = "1s" } # z\n', 'score = { half_life = "3s" } # z\n'),
        ("score.jitter_weight = 2\n", 'score.jitter_weight = 2\nscore.half_life = "3s"\n'),
        ('[score]\r\nhalf_life = "1s" # c\r\n', '[score]\r\nhalf_life = "3s" # c\r\n'),
        (
            "[score]\njitter_weight = 1.0   # one\n    # and more\n\n# of PoPs\n[steer]\n",
            '[score]\njitter_weight = 1.0   # one\n    # and more\nhalf_life = "3s"\n\n# of PoPs\n[steer]\n',
        ),
        ('[[pop]]\nname = "a"\npaths = []', '[[pop]]\nname = "a"\npaths = []\n\n[score]\nhalf_life = "3s"\n'),
    ],
)
def test_wherever_a_key_stands_or_should(old, new):
    assert put(old, half_life=3.0) == new


def test_every_value_that_is_tried_means_what_it_says():
    default = Knobs.of(Document())
    for key, knob in KNOBS.items():
        for value in knob.grid:
            tried = default.put({"rule": "threshold", key: value})
            assert knobs(edited("", default.changes(tried), tried)) == tried if default != tried else True
    assert default.changes(default.put({"margin": 0.3})) == []  # does nothing with this rule


def test_what_would_not_mean_what_was_wanted_is_refused():
    change = Change("score", "half_life", "2s", "3s")
    with pytest.raises(RewriteError, match="by hand"):
        edited("", [change], Knobs.of(Document()))


def written(file, text='[score]\nhalf_life = "1s"\n'):
    file.write_text(text)
    present = knobs(text)
    wanted = present.put({"half_life": 3.0})
    return rewrite(file, text.encode(), present.changes(wanted), wanted)


def test_the_mode_stays_and_the_old_file_is_beside_the_new_one(tmp_path):
    file = tmp_path / "steerd.toml"
    file.write_text("")
    file.chmod(0o640)
    kept = written(file)
    assert kept == tmp_path / "steerd.toml.before-tune"
    assert 'half_life = "1s"' in kept.read_text()
    assert 'half_life = "3s"' in file.read_text()
    assert file.stat().st_mode & 0o777 == kept.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["steerd.toml", "steerd.toml.before-tune"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "etc").mkdir()
    real = tmp_path / "etc" / "real.toml"
    real.write_text("")
    link = tmp_path / "steerd.toml"
    link.symlink_to(real)
    assert written(link) == tmp_path / "etc" / "real.toml.before-tune"
    assert link.is_symlink()
    assert 'half_life = "3s"' in real.read_text()


def test_what_can_not_be_written_is_left_as_it_is(tmp_path):
    file = tmp_path / "steerd.toml"
    (tmp_path / "steerd.toml.before-tune").mkdir()
    with pytest.raises(RewriteError, match="is a folder"):
        written(file)
    assert 'half_life = "1s"' in file.read_text()
    with pytest.raises(RewriteError, match="is no ordinary file"):
        check_writable(tmp_path)
    with pytest.raises(RewriteError, match="No such file"):
        check_writable(tmp_path / "none.toml")


def test_a_file_that_somebody_changed_meanwhile_is_left_as_it_is(tmp_path):
    file = tmp_path / "steerd.toml"
    file.write_text("[steer]\n")
    default = Knobs.of(Document())
    with pytest.raises(RewriteError, match="changed meanwhile"):
        rewrite(file, b"", [], default)
    assert [one.name for one in tmp_path.iterdir()] == ["steerd.toml"]
