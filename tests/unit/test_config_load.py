"""Configuration files: what they become, and what is said about wrong ones."""

import os
import tomllib
from copy import deepcopy
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steerd.cli.steerd import main
from steerd.cli.verbs.configuration import check
from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load, load_for_guard
from steerd.config.prefixes import count
from steerd.config.probe_settings import Target
from steerd.config.route_settings import AUTO, OnStop
from steerd.config.settings import Config
from steerd.core.settings import PanelSettings, ThresholdSettings, WhenNone
from steerd.route.wanted.selection import selections

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "config" / "steerd.toml"

POP = """
[[pop]]
name = "fra1"
paths = [{ dev = "wg-fra1", target = "10.64.1.1" }]
"""
POLICY = """
[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
"""
OTHER = """
[[policy]]
name = "other"
prefixes = ["1.1.1.1", "0.0.0.0/0"]
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "steerd.toml"
        file.write_text(dedent(text))
        return file

    return write


@pytest.fixture
def loaded(write):
    def loaded(text: str) -> Config:
        return load(write(text))

    return loaded


@pytest.fixture
def problems(write):
    def problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        return [f"{p.key}: {p.allowed}" for p in caught.value.problems]

    return problems


def test_the_example_is_valid_and_means_the_defaults(loaded):
    example, bare = load(EXAMPLE), loaded('gateway.name = "gw-lyon-1"' + POP + POLICY)
    assert not example.warnings
    for key in ("gateway", "region", "export", "record", "mqtt"):
        assert getattr(example, key) == getattr(bare, key)
    for key in (
        *("rule", "round", "half_life", "loss_penalty", "jitter_weight", "ignore_below", "mtu_penalty"),
        *("max_active", "scout_interval"),
    ):
        assert getattr(example.core, key) == getattr(bare.core, key)
    for key in ("protocol", "table", "rule_priority", "nexthop_base", "mark_mask", "bypass_mark", "on_stop"):
        assert getattr(example.route, key) == getattr(bare.route, key)
    assert example.core.paths[0].interval == bare.core.paths[0].interval == 1.0
    assert example.probe.mtu_interval == bare.probe.mtu_interval == 60.0


def test_every_mistake_gets_its_message(monkeypatch, capsys):
    monkeypatch.chdir(HERE.parents[1])
    file = Path("tests/unit/test_config_mistakes.toml")
    assert check(file) == 78
    said = capsys.readouterr().err
    assert said == (HERE / "test_config_mistakes.txt").read_text()
    assert len(said.splitlines()) == 21


def test_check_counts_and_warns(write, capsys):
    assert check(write(POP + POLICY)) == 0
    assert capsys.readouterr().out.endswith("steerd.toml: ok (1 PoP, 1 path, 1 policy, 1 prefix)\n")
    assert check(write("[gateway]\nprobe_only = true")) == 0
    assert "nothing is probed and nothing steered" in capsys.readouterr().err
    assert check(write(POLICY)) == 78


@pytest.mark.parametrize("text", ["", "\n", "# a comment\n", '[gateway]\nname = "gw1"\n', POP, "policy = []" + POP])
def test_a_file_that_steers_nothing_is_refused_unless_it_says_so(problems, loaded, text):
    """A power cut empties files, or cuts them short: that is no wish to steer nothing, and to guard nothing."""
    missing = "policy: is missing: must say what is steered, as [[policy]] ([gateway] probe_only = true says"
    assert [line.startswith(missing) for line in problems(text)] == [True]
    if "gateway" not in text and "policy" not in text:
        assert loaded("[gateway]\nprobe_only = true\n" + text).route.policies == ()


def test_who_only_probes_has_no_policies(problems):
    (said,) = problems("[gateway]\nprobe_only = true" + POP + POLICY)
    assert said == "gateway.probe_only: must be left out where there are policies"


LISTED = """
[[policy]]
name = "listed"
prefixes_file = "late.txt"
"""


def test_what_cannot_be_read_now_may_come_and_what_is_wrong_stays_wrong(write, tmp_path, capsys):
    """1 is tried again by systemd, 78 is not."""

    def code(file: Path) -> int:
        return main(["run", "--dry-run", "-c", str(file)])

    assert code(tmp_path / "absent.toml") == 1
    assert code(write(POP + LISTED)) == 1
    assert 'late.txt"; must be a file that can be read: No such file or directory' in capsys.readouterr().err
    assert code(write(POP + LISTED + "min_dwel = 1")) == 78
    (tmp_path / "late.txt").write_text("10.0.0.0/33")
    assert code(write(POP + LISTED)) == 78
    assert code(write("")) == 78
    assert check(tmp_path / "absent.toml") == 78


def test_for_the_guard_a_list_that_cannot_be_read_may_hold_any_address(write, tmp_path):
    def guarded(text: str) -> dict[str, tuple[int, int]]:
        config, missed = load_for_guard(write(POP + text))
        assert [problem.key for problem in missed] == ["policy[0].prefixes_file"]
        return {one.policy: (len(one.prefixes.v4), len(one.prefixes.v6)) for one in config.route.policies}

    assert guarded(LISTED) == {"listed": (5, 17)}
    assert guarded(LISTED + 'prefixes = ["10.0.0.0/8"]\n') == {"listed": (10, 17)}
    assert guarded(LISTED + POLICY) == {"listed": (0, 17), "default": (5, 0)}, "the default route's policy guards it"
    assert guarded(LISTED + 'iif = ["lan"]' + POLICY) == {"listed": (5, 17), "default": (5, 0)}
    with pytest.raises(ConfigError):
        load_for_guard(write(LISTED))
    (tmp_path / "late.txt").write_text("10.0.0.0/8")
    config, missed = load_for_guard(write(POP + LISTED))
    assert not missed
    assert config.route == load(write(POP + LISTED)).route


@pytest.mark.parametrize(
    ("content", "v4"),
    [
        (b"", 5),
        (b"# none\n", 5),
        (bytes(4096), 5),
        ("10.0.0.0/8\n".encode("utf-16"), 5),
        (b"10.0.0.0/8\n192.0.2", 10),
        (None, 5),
    ],
    ids=["emptied", "comment", "zeros", "utf-16", "cut", "fifo"],
)
def test_for_the_guard_a_list_that_holds_something_else_may_hold_any_address(write, tmp_path, content, v4):
    os.mkfifo(tmp_path / "late.txt") if content is None else (tmp_path / "late.txt").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load(write(POP + LISTED))
    config, missed = load_for_guard(write(POP + LISTED))
    assert tuple(missed) == refused.value.problems
    assert ConfigError(missed).exit_code == 78
    (listed,) = config.route.policies
    assert (len(listed.prefixes.v4), len(listed.prefixes.v6)) == (v4, 17)
    with pytest.raises(ConfigError, match="bogus"):  # what is written beside it is still to be right
        load_for_guard(write(POP + LISTED + 'prefixes = ["bogus"]\n'))


def test_values_reach_the_stages(loaded):
    config = loaded("""
        [gateway]
        name = "gw1"
        region = "eu"
        [probe]
        interval = "500ms"
        standby_interval = 2
        [score]
        loss_penalty = "50ms"
        mtu_penalty = "1s"
        [steer]
        switch_price = "5ms for 1m"
        [route]
        mark = 0x00000ff0
        bypass_mark = "0xca6c0000"
        management = ["192.0.2.7"]
        on_stop = "block"
        [mqtt]
        url = "mqtts://broker.example"
        tenant = "acme"
        [export]
        listen = "[::1]:0"
        [control]
        socket = "control.sock"
        [[pop]]
        name = "fra1"
        bias = "3ms"
        paths = [
          { dev = "wg0", target = "10.64.1.1", target6 = "fd00:0::1" },
          { name = "lte", dev = "wwan0", via6 = "fe80::1", target6 = "2001:db8::1", interval = "5s", uplink = "sim" },
        ]
        [[policy]]
        name = "all"
        prefixes = ["10.0.0.0/8", "::/0", "10.0.0.0/8"]
        when_none = "block"
    """)
    wg, lte = config.core.paths
    assert (wg.path, wg.uplink, wg.bias, wg.interval, wg.standby_interval, wg.legs) == (
        "fra1/wg0", "fra1/wg0", 3.0, 0.5, 2.0, 2,
    )  # fmt: skip
    assert (lte.path, lte.uplink, lte.interval, lte.standby_interval, lte.legs) == ("fra1/lte", "sim", 5.0, 2.0, 1)
    assert config.core.round == config.probe.grid == 0.5
    assert config.core.rule == PanelSettings(price=300.0)
    assert config.core.loss_penalty == 50.0
    assert config.core.mtu_penalty == 1000.0
    assert config.core.policies[0].when_none is WhenNone.BLOCK
    assert config.probe.paths[0].targets == (Target(4, "10.64.1.1"), Target(6, "fd00::1"))
    assert [path.families for path in config.route.paths] == [{4, 6}, {6}]
    assert all(0 < path.mark <= 0xFF0 and not path.mark & ~0xFF0 for path in config.route.paths)
    assert [path.table for path in config.route.paths] == [4300 + (path.mark >> 4) for path in config.route.paths]
    assert config.route.policies[0].prefixes.v4 == bytes([10, 0, 0, 0, 8])
    assert config.route.policies[0].prefixes.v6 == bytes(17)
    assert config.route.on_stop is OnStop.BLOCK
    assert config.route.management == ("192.0.2.7/32",)
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("broker.example", 8883, True)
    assert (config.export.host, config.export.port) == ("::1", 0)
    assert config.control_socket == config.source.parent / "control.sock"


def test_the_threshold_rule(loaded):
    config = loaded(
        '[steer]\nrule = "threshold"\nmargin = "5%"\nmargin_ms = "1ms"\nhold = 10\nswitch_price="1ms for 1s"'
        + POP
        + POLICY
    )
    assert config.core.rule == ThresholdSettings(0.05, 1.0, 10.0)
    assert "switch_price" in config.warnings[0]


def test_a_standby_interval_is_the_interval_unless_given(loaded):
    path = '{ dev = "wg-fra1", target = "10.64.1.1", interval = "200ms" }'
    config = loaded(POP.replace('{ dev = "wg-fra1", target = "10.64.1.1" }', path) + POLICY)
    assert config.core.paths[0].standby_interval == config.core.round == 0.2


def test_a_next_hop_may_be_left_to_main(loaded):
    (both,) = loaded(POP.replace('"10.64.1.1"', '"10.64.1.1", via = "auto", via6 = "auto"') + POLICY).route.paths
    assert (both.via, both.via6, both.families) == (AUTO, AUTO, {4, 6})
    (one,) = loaded(POP.replace('"10.64.1.1"', '"10.64.1.1", via = "auto"') + POLICY).route.paths
    assert (one.via, one.via6, one.families) == (AUTO, None, {4})


THREE_POPS = """
[[pop]]
name = "fra1"
region = "de"
paths = [{ dev = "wg0", target = "10.64.1.1" }]
[[pop]]
name = "fra2"
region = "de"
tags = ["backbone"]
paths = [{ dev = "eth1", via = "192.0.2.1", target = "10.64.1.1" }]
[[pop]]
name = "nyc1"
region = "us"
paths = [{ dev = "wg1", target = "10.64.1.1" }]
"""


@pytest.mark.parametrize(
    ("policy", "forbidden"),
    [
        ('prefixes = ["::/0"]', {"fra2/eth1": "carries no IPv6"}),
        ('prefixes = ["::/0", "0.0.0.0/0"]', {}),
        ('prefixes = ["10.0.0.0/8"]\npops = ["fra*"]', {"nyc1/wg1": "PoP nyc1 is not among fra*"}),
        (
            'prefixes = ["10.0.0.0/8"]\npops = ["tag:backbone"]',
            {"fra1/wg0": "PoP fra1 is not among tag:backbone", "nyc1/wg1": "PoP nyc1 is not among tag:backbone"},
        ),
        ('prefixes = ["10.0.0.0/8"]\nregions = ["de", "fr"]', {"nyc1/wg1": "region us is not among de, fr"}),
    ],
)
def test_every_other_path_is_forbidden_for_a_reason(loaded, policy, forbidden):
    config = loaded(f'{THREE_POPS}[[policy]]\nname = "p"\n{policy}')
    assert dict(config.core.policies[0].forbidden) == forbidden


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[gateway]\nname = "a/b"' + POP, "gateway.name: must be a name"),
        ("half_life = 2" + POP, "half_life: is not a known key; it belongs in [score]"),
        ('[score]\ninterval = "1s"' + POP, "score.interval: is not a known key; it belongs in [probe]"),
        ('[probe]\nmethod = "ping"' + POP, 'probe.method: must be "icmp", "tcp", "http", "dns" or "udp"'),
        ("[probe]\ninterval = true" + POP, "probe.interval: must be a duration from 10ms to 1h"),
        ("[probe]\ninterval = inf" + POP, "probe.interval: must be a duration from 10ms to 1h"),
        ("[score]\nhalf_life = 0" + POP, "score.half_life: must be a duration from 100ms to 1h"),
        ('[steer]\nrule = "best"' + POP, 'steer.rule: must be "panel", "regret" or "threshold"'),
        ("[steer]\nswitch_price = 100" + POP, "steer.switch_price: must be a gain in delay"),
        ("[route]\ntable = 200" + POP, "route.table: must keep 200 to 555 off the kernel's 253 to 255"),
        ("[route]\nprotocol = 4" + POP, "route.protocol: must be a whole number from 5 to 255"),
        ("[route]\nprotocol = 210.5" + POP, "route.protocol: must be a whole number from 5 to 255"),
        ('[route]\nbypass_mark = "0x01000001"' + POP, "route.bypass_mark: must share no bit with mark 0xff000000"),
        ('[route]\nmanagement = ["10.0.0.1/8"]' + POP, "route.management[0]: has bits set beyond its length"),
        ("[route]\nnexthop_objects = 1" + POP, "route.nexthop_objects: must be true or false"),
        ('[mqtt]\nurl = "http://x"\ntenant = "a"' + POP, 'mqtt.url: must be "mqtt://HOST[:PORT]"'),
        ('[mqtt]\nurl = "mqtt://[x"\ntenant = "a"' + POP, 'mqtt.url: must be "mqtt://HOST[:PORT]"'),
        ('[mqtt]\nurl = "mqtt://x"' + POP, "mqtt.tenant: is missing, and must be given"),
        ('[mqtt]\nurl = "mqtts://x"\ntenant = "a"\ncert = "c"' + POP, "mqtt.cert: must come with key"),
        ('[mqtt]\nurl = "mqtt://x"\ntenant = "a"\nca = "c"' + POP, "mqtt.ca: must come with TLS"),
        (
            '[mqtt]\nurl = "mqtt://x"\ntenant = "a"\ntrusted_keys = ["k"]' + POP,
            "mqtt.trusted_keys[0]: must be a public key as `steerctl keygen` prints it",
        ),
        ('[export]\nlisten = ":9911"' + POP, "export.listen: must be an address and a port"),
        ('[export]\nlisten = "1.2.3.4:99999"' + POP, "export.listen: must be an address and a port"),
        ('[[gateway]]\nname = "x"' + POP, "gateway: must be one table: [gateway]"),
        ('[pop]\nname = "x"', "pop: must be a list of tables: [[pop]]"),
        (f'[control]\nsocket = "/{"x" * 120}"' + POP, "control.socket: must be at most 107 bytes long"),
        ('[[pop]]\nname = "a"\npaths = []', "pop[0].paths: must list at least one path"),
        ('[[pop]]\nname = "a"\npaths = [{ dev = "wg0" }]', "pop[0].paths[0]: has nothing to probe"),
        ('[[pop]]\nname = "a"\npaths = [{ target = "10.0.0.1" }]', "pop[0].paths[0].dev: is missing"),
        (
            '[[pop]]\nname = "a"\npaths = [{ dev = "a", target = "1.1.1.1" }, { dev = "a", target = "1.1.1.1" }]',
            "pop[0].paths[1].name: must be unique in its PoP: pop[0].paths[0] has this name",
        ),
        (POP.replace("10.64.1.1", "fd00::1"), "pop[0].paths[0].target: must be an IPv4 address"),
        (POP.replace("10.64.1.1", "127.0.0.1"), "pop[0].paths[0].target: must be beyond this machine"),
        (POP.replace("10.64.1.1", "localhost"), "pop[0].paths[0].target: must be beyond this machine"),
        (POP.replace('"10.64.1.1"', '"10.64.1.1", target6 = "::1"'), "pop[0].paths[0].target6: must be beyond this"),
        (POP.replace('"10.64.1.1"', '"10.64.1.1", via = "fe80::1"'), "pop[0].paths[0].via: must be the IPv4 address"),
        (
            POP.replace('"10.64.1.1"', '"10.64.1.1", via6 = "10.0.0.1"'),
            "pop[0].paths[0].via6: must be the IPv6 address",
        ),
        (
            POP.replace('"10.64.1.1"', '"10.64.1.1", via = "dhcp"'),
            'pop[0].paths[0].via: must be the IPv4 address of a next hop, such as "192.0.2.1", or "auto", for that of',
        ),
        (
            POP.replace('"10.64.1.1"', '"10.64.1.1", via6 = "fe80::1"'),
            "pop[0].paths[0].target: the path carries no IPv4: must come with a next hop for it, via",
        ),
        (POP.replace("wg-fra1", "wg fra1"), "pop[0].paths[0].dev: must be the name of a network device"),
        (POP + POLICY.replace('["0.0.0.0/0"]', "[]"), "policy[0]: has no prefixes"),
        (POP + POLICY.replace("0.0.0.0/0", "0.0.0.0/33"), "policy[0].prefixes[0]: must have a length from 0 to 32"),
        (POP + POLICY.replace('"0.0.0.0/0"', '"0.0.0.0/0", 5'), "policy[0].prefixes[1]: must be text, in quotes"),
        (POP + POLICY + 'pops = ["fra2"]', 'policy[0].pops[0]: matches no PoP; did you mean "fra1"?'),
        (POP + POLICY + 'regions = ["fr"]', "policy[0]: has no path: must match at least one PoP in the regions fr"),
        (POP + POLICY + 'flows = "stay"', "policy[0].flows: "),
        (POP + POLICY + 'max_drain = "8d"', "policy[0].max_drain: must be a duration from"),
        (POP + POLICY + "leak_guard = 1", "policy[0].leak_guard: "),
        (POP + POLICY + '[route]\nnft_table = "my-table"', "route.nft_table: must be the name of a table of nftables"),
        (POP + POLICY + 'except = ["0.0.0.0/0"]', "policy[0].except[0]: is one of the prefixes too"),
        (POP + POLICY + POLICY, "policy[1].name: must be unique: policy[0] has this name"),
        (
            POP + POLICY + OTHER,
            "policy[1].prefixes[1]: must be in one policy only: policy default has it too, at policy[0].prefixes[0]",
        ),
        (
            POP + POLICY.replace('prefixes = ["0.0.0.0/0"]', 'prefixes_file = "no"'),
            "policy[0].prefixes_file: must be a file",
        ),
    ],
)
def test_what_is_wrong_is_said(problems, text, said):
    found = problems(text)
    assert len([line for line in found if line.startswith(said)]) == 1, found


def test_one_mistake_is_reported_once(problems):
    assert len(problems(POP.replace("10.64.1.1", "10.64.1") + POLICY)) == 1
    assert len(problems(POP.replace("dev = ", "device = ") + POLICY)) == 2  # unknown, and missing
    assert len(problems('[mqtt]\nurl = 5\ntenant = "a"' + POP + POLICY)) == 1
    assert len(problems(POP.replace("fra1", "fra/1", 1) + POLICY + 'pops = ["fra*"]')) == 1


def test_prefixes_from_a_file(write, tmp_path):
    (tmp_path / "list.txt").write_text("# ours\n10.0.0.0/8 # a comment\n\n2001:db8::/32\n")
    config = load(write(POP + '[[policy]]\nname = "p"\nprefixes_file = "list.txt"'))
    assert len(config.route.policies[0].prefixes.v4) == 5
    assert len(config.route.policies[0].prefixes.v6) == 17
    (tmp_path / "list.txt").write_text("10.0.0.0/8\n10.0.0.0/99\n" + "x\n" * 30)
    with pytest.raises(ConfigError) as caught:
        load(write(POP + '[[policy]]\nname = "p"\nprefixes_file = "list.txt"'))
    assert str(caught.value.problems[0]).startswith(f'{tmp_path / "list.txt"}: line 2: found "10.0.0.0/99"; must have')
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1].allowed == "21 more of these"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (POP + POLICY + 'except = ["fd00::/8"]', "policy[0].except[0]: fd00::/8 is in none of the policy's prefixes"),
        (
            POP.replace('"10.64.1.1"', '"10.64.1.1", via = "192.0.2.1"')
            + POLICY.replace('"0.0.0.0/0"', '"0.0.0.0/0", "::/0"'),
            "no path of policy default carries IPv6: that traffic is blocked",
        ),
        ("[route]\nprotocol = 188" + POP + POLICY, "route.protocol: 188 meets 186 to 198, which FRR uses"),
        ("[route]\nrule_priority = 1200" + POP + POLICY, "route.rule_priority: 1200 to 1299 meets 1000 to 3000"),
        ('[route]\nmark = "0x00ff0000"' + POP + POLICY, "which tailscale uses"),
        (
            POP + POLICY + "own_traffic = true",
            "administers this gateway too: list them in route.management, with the tunnels' endpoints",
        ),
        ('[route]\nbypass_mark = "0x51"' + POP + POLICY + "own_traffic = true", "list them in route.management"),
    ],
)
def test_what_is_hardly_meant_is_warned_of(loaded, text, warned):
    warnings = [line for line in loaded(text).warnings if warned in line]
    assert len(warnings) == 1


def test_own_traffic_with_management_is_meant(loaded):
    assert not loaded('[route]\nmanagement = ["192.0.2.0/24"]' + POP + POLICY + "own_traffic = true").warnings


def test_more_selectors_than_rule_priorities(problems, loaded):
    """What `check` lets through must not stop the daemon from starting."""

    def policies(number, selector):
        each = '[[policy]]\nname = "p{n}"\nprefixes = ["10.{n}.0.0/16"]\n' + selector + "\n"
        return POP + '[route]\nmanagement = ["192.0.2.0/24"]\n' + "".join(each.format(n=n) for n in range(number))

    for most, selector, what in (
        (68, 'iif = ["eth{n}"]', "from, iif and fwmark"),
        (20, 'own_traffic = true\nfrom = ["192.0.2.{n}"]', "from and fwmark with own_traffic"),
    ):
        assert len(selections(loaded(policies(most, selector)).route)) >= most
        found = problems(policies(most + 1, selector))
        assert found == [f"policy: there are {most + 1} different {what}: must be at most {most}"]
    assert loaded(policies(90, 'from = ["192.0.2.0/24"]'))


def test_more_paths_than_marks(problems):
    paths = ", ".join(f'{{ dev = "wg{i}", target = "10.0.0.1" }}' for i in range(4))
    found = problems(f'[route]\nmark = "0x3"\n[[pop]]\nname = "a"\npaths = [{paths}]' + POLICY)
    assert found == ["route.mark: has 2 bits: at most 3 paths, and there are 4"]


def test_numbers_do_not_depend_on_the_order_in_the_file(loaded):
    pops = [f'[[pop]]\nname = "p{i}"\npaths = [{{ dev = "wg{i}", target = "10.0.0.1" }}]\n' for i in range(60)]
    policies = [f'[[policy]]\nname = "q{i}"\nprefixes = ["10.{i}.0.0/16"]\n' for i in range(60)]
    one, other = loaded("".join(pops + policies)), loaded("".join(pops[::-1] + policies[::-1]))
    assert {p.path: (p.mark, p.table) for p in one.route.paths} == {
        p.path: (p.mark, p.table) for p in other.route.paths
    }
    assert {p.policy: p.table for p in one.route.policies} == {p.policy: p.table for p in other.route.policies}
    tables = [p.table for p in one.route.paths] + [p.table for p in one.route.policies]
    assert len(set(tables)) == 120
    assert all(4200 <= p.table < 4300 < q.table for p in one.route.policies for q in one.route.paths)
    assert [p.mark for p in one.probe.paths] == [p.mark for p in one.route.paths]


def test_replay_needs_no_pops(write):
    config = load(write('[steer]\nswitch_price = "1ms for 1s"' + POLICY), complete=False)
    assert config.core.paths == ()
    assert config.core.policies[0].policy == "default"


def test_files_that_cannot_be_read(tmp_path):
    for content, said in (
        (b"a = ", "line 1, column 5: is not TOML: Invalid value"),
        (b"[gateway]\nname = 'x'\nname = 'y'\n", "line 3"),
        (b"\xff", "line 1, column 1: must be UTF-8 text"),
        (b"a = " + b"[" * 5000, "is not TOML that can be read"),
        (b"a = " + b"9" * 5000, "is not TOML that can be read"),
    ):
        file = tmp_path / "x.toml"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=said):
            load(file)
    for file in (tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(file)


def test_a_list_that_nothing_could_hold_is_refused_with_the_bound_before_it_is_read_whole(write, tmp_path, monkeypatch):
    monkeypatch.setattr("steerd.config.prefixes.MOST", 1000)
    (tmp_path / "late.txt").write_text("".join(f"10.0.{n >> 8}.{n & 255}/32\n" for n in range(1000)))
    assert count(load(write(POP + LISTED)).route.policies[0].prefixes) == 1000
    with (tmp_path / "late.txt").open("a") as file:
        file.write("10.1.0.0/16\n" * 100_000)
    refused = refusal(tmp_path / "steerd.toml")
    assert refused is not None
    assert [one.allowed for one in refused.problems] == ["must be at most 1,000 prefixes"]


def refusal(file: Path) -> ConfigError | None:
    try:
        load(file)
    except ConfigError as error:
        return error
    return None


JUNK = [
    "=", "[", "]]", "{", "}", '"', "'", "\n", "#", "[[pop]]\n", "[[policy]]\n", "paths = []\n", "nan", "-1", "1e400",
    "2026-01-01", "true", '"10.0.0.0/8"', "\\u0000", "\x00", "é", '"0xffffffff"', "99999999999999999999",
    "name.x = 1\n",
]  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(JUNK)), min_size=1, max_size=6))
def test_whatever_is_written_only_config_errors_come_out(tmp_path, edits):
    text = EXAMPLE.read_text()
    for where, cut, junk in edits:
        at = int(where * len(text))
        text = text[:at] + junk + text[at + cut :]
    file = tmp_path / "steerd.toml"
    file.write_text(text, encoding="utf-8")
    said = str(refusal(file) or "").lower()
    assert not any(word in said for word in ("pydantic", "input should", "value error", "not allowed here"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("10.0.0.0/8"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_values_only_config_errors_come_out(tmp_path, data, monkeypatch):
    from steerd.config.file import toml as read

    raw = tomllib.loads(EXAMPLE.read_text())
    for _ in range(data.draw(st.integers(1, 4))):
        at = raw
        while True:
            key = data.draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
            if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.integers(0, 3)) == 0:
                break
            at = at[key]
        at[key] = deepcopy(data.draw(VALUES.filter(lambda value: value is not None)))
    monkeypatch.setattr(read, "toml", lambda _: raw)
    assert "not allowed here" not in str(refusal(tmp_path / "steerd.toml"))


def test_packets_may_be_picked_by_their_mark(problems, loaded):
    def policy(mark):
        return POP + f'[[policy]]\nname = "p"\nprefixes = ["10.0.0.0/8"]\nfwmark = {mark}\n'

    assert loaded(policy('"0x10/0xf0"')).route.policies[0].fwmark == (0x10, 0xF0)
    for wrong in ('"0x10f/0xf0"', '"0x0/0x0"', '"0x10/"', '"0x10"', '"x"', "16", "true", '"0x1/0x1/0x1"'):
        (found,) = problems(policy(wrong))
        assert found.startswith('policy[0].fwmark: must be a mark and its mask, such as "0x10/0xff"')
    (found,) = problems(policy('"0x01000000/0x0f000000"'))
    assert found == "policy[0].fwmark: must share no bit with route.mark 0xff000000"


TARGETS = '[[pop]]\nname = "a"\npaths = [{{ dev = "wg0", {} }}]\n' + POLICY


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('targets = ["192.0.2.1", "192.0.2.1"]', "must be another one: targets[0] is the same"),
        ('target = "192.0.2.1", targets = ["192.0.2.1"]', "must be another one: target is the same"),
        ('targets = ["127.0.0.1"]', "must be beyond this machine"),
        ('targets = ["::1"]', "must be beyond this machine"),
        (
            'targets = ["192.0.2.1", "192.0.2.2"], quorum = 3',
            "must be at most 2: each family needs so many, and IPv4 has no more",
        ),
        (
            'targets = ["192.0.2.1", "192.0.2.2", "2001:db8::1"], quorum = 2',
            "must be at most 1: each family needs so many, and IPv6",
        ),
        ("targets = []", "has nothing to probe: must have a target or a target6, or targets"),
        (
            'targets = ["2001:db8::1"], via = "192.0.2.9"',
            "the path carries no IPv6: must come with a next hop for it, via6",
        ),
        ('target = "192.0.2.1", quorum = 2', "must be at most 1: each family needs so many, and IPv4"),
        ("targets = [" + ", ".join(f'"192.0.2.{n}"' for n in range(1, 11)) + "]", "must be at most 8 of each family"),
    ],
)
def test_mistakes_in_several_targets(problems, written, said):
    assert any(said in one for one in problems(TARGETS.format(written)))


def test_several_targets_are_one_leg_of_each_family(loaded):
    config = loaded(
        TARGETS.format('target6 = "2001:db8::1", targets = ["192.0.2.1", "2001:db8::2", "dns.example"], quorum = 2')
    )
    (path,) = config.probe.paths
    assert [(one.family, one.address or one.name) for one in path.targets] == [
        (4, "192.0.2.1"),
        (4, "dns.example"),
        (6, "2001:db8::1"),
        (6, "2001:db8::2"),
    ]
    assert (path.quorum, list(path.legs), config.core.paths[0].legs) == (2, [4, 6], 2)
