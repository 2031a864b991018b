"""[[uplink]]: what is refused, and what comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.file.problem import ConfigError
from steerd.config.file.written import differences
from steerd.config.gateway.load import load
from steerd.config.uplink import Every, Hours, Resets, UplinkSettings
from steerd.text.sizes import parse, show

REST = """
[[pop]]
name = "fra1"
paths = [
  { dev = "wg-fra1", target = "10.64.1.1", uplink = "wwan0" },
  { dev = "eth0", via = "auto", target = "10.64.1.1" },
]
[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
"""
LTE = 'name = "wwan0"'


@pytest.fixture
def loaded(tmp_path):
    def load_uplinks(*uplinks):
        file = tmp_path / "steerd.toml"
        file.write_text(REST + "".join(f"\n[[uplink]]\n{one}\n" for one in uplinks))
        return load(file)

    return load_uplinks


def test_what_is_not_said_has_a_default(loaded):
    assert loaded().uplinks == ()
    assert loaded(LTE).uplinks == (UplinkSettings("wwan0"),)
    written = 'metered = true\nprice = "20ms"\ncap = "50GB"\nresets = "15th"\nhours = "08:00-18:00"\nbias = "5ms"'
    assert loaded(f"{LTE}\n{written}").uplinks == (
        UplinkSettings("wwan0", True, 20.0, 50 * 10**9, Resets(Every.MONTH, 15), Hours(480, 1080), 5.0),
    )
    assert loaded(f'{LTE}\ncap = "1GiB"').uplinks[0].resets == Resets(Every.MONTH, 1)


def test_paths_leave_by_the_uplink_that_they_name_or_by_their_own_device(loaded):
    plain, named = loaded(), loaded(LTE, 'name = "eth0"')
    assert [path.uplink for path in plain.core.paths] == ["wwan0", "fra1/eth0"]
    assert [path.uplink for path in named.core.paths] == ["wwan0", "eth0"]
    assert [path.uplink for path in named.route.paths] == ["wwan0", "eth0"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1st", Resets(Every.MONTH, 1)), ("2nd", Resets(Every.MONTH, 2)), ("11th", Resets(Every.MONTH, 11)),
        ("23rd", Resets(Every.MONTH, 23)), ("31st", Resets(Every.MONTH, 31)), ("daily", Resets(Every.DAY)),
        ("Monday", Resets(Every.WEEK, 0)), ("sunday", Resets(Every.WEEK, 6)),
    ],
)  # fmt: skip
def test_days_on_which_a_count_begins_anew(loaded, written, meant):
    assert loaded(f'{LTE}\ncap = "1GB"\nresets = "{written}"').uplinks[0].resets == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("08:00-18:00", Hours(480, 1080)), ("22:30 - 06:00", Hours(1350, 360)), ("18:00-24:00", Hours(1080, 0))],
)
def test_hours(loaded, written, meant):
    assert loaded(f'{LTE}\nbias = "1ms"\nhours = "{written}"').uplinks[0].hours == meant


@pytest.mark.parametrize(
    ("uplink", "said"),
    [
        ("metered = true", "uplink[0].name: is missing"),
        (
            'name = "wwan1"',
            "uplink[0].name: no path leaves by it: must be the uplink of one, or the dev of one without an uplink",
        ),
        ('name = "wg-fra1"', "uplink[0].name: no path leaves by it"),
        (f'{LTE}\nmetered = "yes"', "uplink[0].metered: must be true or false"),
        (f'{LTE}\nprice = "1m"', "uplink[0].price: must be a duration from 0s to 10s"),
        (f'{LTE}\ncap = "50"', "uplink[0].cap: must be an amount of data"),
        (f'{LTE}\ncap = "1kB"', "uplink[0].cap: must be an amount of data"),
        (f"{LTE}\ncap = 50", "uplink[0].cap: must be an amount of data"),
        (f'{LTE}\ncap = "1GB"\nresets = "32nd"', "uplink[0].resets: must be a day of the month"),
        (f'{LTE}\ncap = "1GB"\nresets = "1th"', "uplink[0].resets: must be a day of the month"),
        (f'{LTE}\ncap = "1GB"\nresets = 1', "uplink[0].resets: must be a day of the month"),
        (f'{LTE}\nresets = "1st"', "uplink[0].resets: does nothing without cap: must come with it"),
        (f'{LTE}\nhours = "08:00-18:00"', "uplink[0].hours: does nothing without bias: must come with it"),
        (f'{LTE}\nbias = "5ms"', "uplink[0].bias: does nothing without hours: must come with it"),
        (f'{LTE}\nbias = "5ms"\nhours = "8-18"', "uplink[0].hours: must be two different times of the day"),
        (f'{LTE}\nbias = "5ms"\nhours = "08:00-08:00"', "uplink[0].hours: must be two different times of the day"),
        (f'{LTE}\nbias = "5ms"\nhours = "00:00-24:00"', "uplink[0].hours: must be two different times of the day"),
        (f'{LTE}\nbias = "5ms"\nhours = "08:00-24:30"', "uplink[0].hours: must be two different times of the day"),
        (f'{LTE}\ncapp = "1GB"', "uplink[0].capp: "),
    ],
)  # fmt: skip
def test_mistakes_are_named_by_their_place(loaded, uplink, said):
    with pytest.raises(ConfigError) as raised:
        loaded(uplink)
    (line,) = [f"{problem.key}: {problem.allowed}" for problem in raised.value.problems]
    assert line.startswith(said), line


def test_who_mistyped_a_name_is_told_the_one_that_was_meant(loaded):
    with pytest.raises(ConfigError, match=r'did you mean "wwan0"\?'):
        loaded('name = "wwan1"')


def test_names_are_unique_and_mistakes_name_the_entry(loaded):
    with pytest.raises(ConfigError, match=r"uplink\[1\].name: .* must be unique: uplink\[0\] has this name"):
        loaded(LTE, LTE)
    with pytest.raises(ConfigError, match=r'\(in \[\[uplink\]\] number 1, "wwan0"\)'):
        loaded(f"{LTE}\ncap = true")


def test_a_reload_says_what_it_changed(loaded):
    before, after = loaded(f'{LTE}\ncap = "50GB"'), loaded(f'{LTE}\ncap = "60GB"')
    assert differences(before, after) == ['uplink wwan0 cap: "50GB" -> "60GB"']
    assert differences(loaded(), after) == ["uplink wwan0: new"]


@pytest.mark.parametrize(
    ("text", "count"), [("1B", 1), ("1.5kB", 1500), ("50GB", 50 * 10**9), ("2 TB", 2 * 10**12), ("1GiB", 1 << 30)]
)
def test_amounts(text, count):
    assert parse(text) == count


@pytest.mark.parametrize("text", ["", "50", "GB", "-1GB", "1e3GB", "5gb", "5GB/s", 5, None, True, "٣GB"])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="must be an amount"):
        parse(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (46_234_000_000, "46.2 GB"), (999_960_000, "1.0 GB"),
     (450_000_000_000, "450 GB"), (10**15, "1000 TB")],
)  # fmt: skip
def test_amounts_shown(count, text):
    assert show(count) == text


@given(st.integers(0, 10**15))
def test_amounts_shown_are_near_what_they_mean(count):
    assert parse(show(count)) == pytest.approx(count, rel=0.06, abs=1)


def test_a_path_that_leaves_over_another_uplink_proposes_that_one(tmp_path):
    file = tmp_path / "steerd.toml"
    tunnel = 'name = "t", dev = "wwan0", target = "10.64.1.1", over = "wwan1"'
    file.write_text(f'[[pop]]\nname = "p"\npaths = [{{ {tunnel} }}]\n[[uplink]]\n{LTE}\n[[policy]]\nname = "all"\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    (told,) = (one for one in caught.value.problems if one.key == "uplink[0].name")
    assert told.allowed.endswith('did you mean "wwan1"?')
