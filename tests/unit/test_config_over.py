"""Which uplink a tunnel's own packets take: what the configuration may say of it."""

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load

POLICY = '[[policy]]\nname = "all"\nprefixes = ["10.0.0.0/8"]\n'


def loaded(tmp_path, *paths: str, tables: str = ""):
    pops = "".join(f'[[pop]]\nname = "p{n}"\npaths = [{{ {path} }}]\n' for n, path in enumerate(paths))
    file = tmp_path / "steerd.toml"
    file.write_text(tables + pops + POLICY)
    return load(file)


def tunnel(number: int, more: str = "") -> str:
    return f'name = "t{number}", dev = "wg{number}", target = "10.64.{number}.1"{more}'


def test_it_is_the_uplink_too_and_has_a_table_that_no_path_has(tmp_path):
    config = loaded(tmp_path, tunnel(1, ', over = "eth1"'), tunnel(2, ', over = "eth1", uplink = "isp"'), tunnel(3))
    one, two, three = config.route.paths
    assert [one.over[0], two.over[0], three.over[0]] == ["eth1", "eth1", ""]
    assert [one.uplink, two.uplink, three.uplink] == ["eth1", "isp", "p2/t3"]
    assert [path.uplink for path in config.core.paths] == [path.uplink for path in config.route.paths]
    tables = [path.table for path in config.route.paths]
    assert len({*tables, one.over[1], two.over[1]}) == 5
    assert config.route.table + 100 < one.over[1] < config.route.table + 100 + 256


@pytest.mark.parametrize(
    ("paths", "tables", "said"),
    [
        (
            (tunnel(1, ', over = "eth1"'), tunnel(1, ', over = "eth2"')),
            "",
            "pop[1].paths[0].over: must be eth1, as of pop[0].paths[0]: the packets of wg1 go one way",
        ),
        ((tunnel(1, ', over = "wg1"'),), "", "pop[0].paths[0].over: must be another device than the path's"),
        (
            (tunnel(1, ', over = "wg2"'), tunnel(2, ', over = "eth1"')),
            "",
            "pop[0].paths[0].over: must be an uplink, not a tunnel",
        ),
        (
            (tunnel(1, ', via = "192.0.2.1", over = "eth1"'),),
            "",
            "pop[0].paths[0].over: must come without via and via6",
        ),
        (
            (tunnel(1, ', over = "eth1"'),),
            '[probe]\nwireguard_interval = "0s"\n',
            'pop[0].paths[0].over: must come without probe.wireguard_interval = "0s"',
        ),
        (
            (tunnel(1, ', over = "eth1"'), tunnel(2)),
            '[route]\nmark = "0x03000000"\n',
            "pop[0].paths[0].over: has no table: route.mark must have more bits for 2 paths",
        ),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, paths, tables, said):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, *paths, tables=tables)
    (told,) = caught.value.problems
    assert f"{told.key}: {told.allowed}".startswith(said)
