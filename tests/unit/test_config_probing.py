"""How paths are probed: methods and what they take, names, sources, budgets, and what is said of wrong ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.config.probe_settings import HttpCheck, ProbePath, Target, payload_bytes, probe_bytes
from steerd.config.settings import Config
from steerd.config.values import addresses, marks, quantities
from steerd.core.settings import PathId
from steerd.text import rates

POLICY = '[[policy]]\nname = "all"\nprefixes = ["0.0.0.0/0"]\n'
HTTPS = 'method = "tcp", port = 8443'


@pytest.fixture
def loaded(tmp_path):
    def loaded(*paths: str, probe: str = "") -> Config:
        """A PoP for each path; ``wg0``, ``wg1`` are the devices where none is given."""
        text = f"[probe]\n{probe}\n"
        for number, path in enumerate(paths):
            device = "" if "dev =" in path else f'dev = "wg{number}"'
            target = "" if "target" in path else 'target = "10.64.1.1"'
            keys = ", ".join(filter(None, (device, target, path)))
            text += f'[[pop]]\nname = "p{number}"\npaths = [{{ {keys} }}]\n'
        file = tmp_path / "steerd.toml"
        file.write_text(text + POLICY)
        return load(file)

    return loaded


@pytest.fixture
def refused(loaded):
    def refused(*paths: str, probe: str = "") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(*paths, probe=probe)
        return [f"{p.key}: {p.allowed}" for p in caught.value.problems]

    return refused


def test_what_nobody_asked_for(loaded):
    (path,) = loaded("").probe.paths
    assert (path.method, path.port, path.size, path.dscp, path.key_file, path.budget) == ("icmp", 0, 0, 0, None, None)
    assert path.targets == (Target(4, "10.64.1.1"),)


@pytest.mark.parametrize(
    ("written", "seconds"), [('"0s"', 0.0), ("0", 0.0), ('"1s"', 1.0), ('"10m"', 600.0), ("86400", 86_400.0)]
)
def test_the_mtu_is_probed_as_often_as_asked_or_never(loaded, written, seconds):
    config = loaded("", probe=f"mtu_interval = {written}")
    assert config.probe.mtu_interval == seconds
    assert config.core.mtu_penalty == (100.0 if seconds else 0.0)


@pytest.mark.parametrize("written", ['"999ms"', '"25h"', "-1", "true", '""', '"often"', "[]"])
def test_the_mtu_is_not_probed_without_a_pause(refused, written):
    (problem,) = refused("", probe=f"mtu_interval = {written}")
    assert problem.startswith('probe.mtu_interval: must be "0s" (never) or a duration from 1s to 1d')


def test_each_method_has_a_port_of_its_own(loaded):
    paths = loaded('method = "tcp"', 'method = "udp"', 'method = "icmp"', HTTPS).probe.paths
    assert [(path.method, path.port) for path in paths] == [("tcp", 443), ("udp", 862), ("icmp", 0), ("tcp", 8443)]


def test_a_path_overrides_each_default(loaded, tmp_path):
    (tmp_path / "one.key").write_text("00" * 16)
    (tmp_path / "two.key").write_text("00" * 16)
    default = 'method = "udp"\nport = 5000\nsize = 200\ndscp = "EF"\nkey_file = "one.key"\nbudget = "10kB/s"'
    own = 'port = 6000, size = 300, dscp = 0, key_file = "two.key", budget = "1MiB/s"'
    config = loaded("", own, 'method = "icmp"', 'method = "tcp"', probe=default)
    first, second, echo, syn = config.probe.paths
    assert (first.port, first.size, first.dscp, first.budget) == (5000, 200, 46, 10_000)
    assert first.key_file == tmp_path / "one.key"
    assert (second.port, second.size, second.dscp, second.budget) == (6000, 300, 0, 1 << 20)
    assert second.key_file == tmp_path / "two.key"
    assert (echo.port, echo.size, echo.key_file) == (0, 200, None)
    assert (syn.port, syn.size, syn.key_file) == (5000, 0, None)
    assert config.warnings == (f"{config.source}: probe.port: 5000 is the port of paths probed by tcp and by udp",)


def test_names_are_resolved_later_each_in_its_family(loaded):
    (path,) = loaded(
        'target = "FRA1.example.net.", target6 = "fra1", source = "192.0.2.1", source6 = "2001:DB8::1"'
    ).probe.paths
    assert path.targets == (
        Target(4, "", name="fra1.example.net.", source="192.0.2.1"),
        Target(6, "", name="fra1", source="2001:db8::1"),
    )


def test_a_credential_of_the_unit_is_a_key(loaded, monkeypatch, tmp_path):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    config = loaded('method = "udp", key_file = "${CREDENTIALS_DIRECTORY}/stamp"')
    assert config.probe.paths[0].key_file == tmp_path / "credentials" / "stamp"
    place = f"{config.source}: pop[0].paths[0].key_file"
    assert config.warnings == (f"{place}: {tmp_path}/credentials/stamp cannot be read now",)


@pytest.mark.parametrize("name", ["fra1", "fra1.example.net", "a-b.c", "1.example", "x" * 63, "3com", "xn--bcher-kva"])
def test_host_names(name):
    assert addresses.target(name) == addresses.target6(name) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a", "a-", "a_b", "a b", "bücher", "x" * 64, f"{'a.' * 127}aa", "10.1.1", "10.1.1.256", "1",
     "0x7f", "a.0x7F", "10.0.0.1.", "a\n", "fe80::1%eth0", 5, None, "0.0.0.1", "224.0.0.1", "255.255.255.255",
     "2001:db8::1"],
)  # fmt: skip
def test_what_is_no_ipv4_target(text):
    with pytest.raises(ValueError, match="must be an"):
        addresses.target(text)


@pytest.mark.parametrize(
    "text", ["::", "ff02::1", "fe80::1", "::ffff:10.0.0.1", "fd00:::1", "10.0.0.1", "fe80::1%eth0"]
)
def test_what_is_no_ipv6_target(text):
    with pytest.raises(ValueError, match="must be an"):
        addresses.target6(text)


@given(st.text(max_size=12) | st.from_regex(r"\A[0-9a-fx.-]{1,12}\Z"))
def test_no_resolver_reads_a_host_name_as_an_address(text):
    import socket

    name = addresses.host(text)
    if name is not None:
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(name.removesuffix("."))


@pytest.mark.parametrize(
    ("written", "number"),
    [(0, 0), (63, 63), ("EF", 46), ("ef", 46), ("VA", 44), ("CS0", 0), ("CS7", 56), ("AF11", 10), ("AF43", 38)],
)
def test_code_points(written, number):
    assert marks.dscp(written) == number


@pytest.mark.parametrize("written", [64, -1, True, 1.0, "46", "CS8", "AF44", "AF01", "AF5", ""])
def test_what_is_no_code_point(written):
    with pytest.raises(ValueError, match="0 to 63"):
        marks.dscp(written)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10kB/s", 10_000), ("500 B/s", 500), ("1.5MB/s", 1_500_000), ("64KiB/s", 65_536), ("100Mbit/s", 12_500_000)],
)
def test_rates(text, rate):
    assert rates.parse(text) == quantities.rate(text) == rate


@pytest.mark.parametrize(
    "text", ["10kb/s", "10kB", "10 kbits/s", "kB/s", "-1B/s", "0B/s", "0.5B/s", "2000Gbit/s", 10, None]
)
def test_what_is_no_rate(text):
    with pytest.raises(ValueError, match="must be a rate from 1B/s to 125000MB/s"):
        quantities.rate(text)


@given(st.integers(1, 10**9))
def test_rates_shown_mean_the_same(rate):
    assert rates.parse(rates.show(rate)) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("path", "probe", "said"),
    [
        ("port = 443", "", 'port: does nothing with method = "icmp": must be left out'),
        ('method = "tcp", port = 0', "", "port: must be a whole number from 1 to 65535"),
        ("port = 65536", 'method = "udp"', "port: must be a whole number from 1 to 65535"),
        ("size = 27", "", "size: must be a whole number from 28 to 1472"),
        ("size = 1473", "", "size: must be a whole number from 28 to 1472"),
        ("size = 56", 'method = "tcp"', 'size: does nothing with method = "tcp": must be left out'),
        ('method = "udp", size = 43', "", 'size: must be 44, or from 48 to 1472, with method = "udp"'),
        ('method = "udp", size = 47', "", 'size: must be 44, or from 48 to 1472, with method = "udp"'),
        (
            'method = "udp", size = 44, key_file = "k"',
            "",
            'size: must be 112, or from 116 to 1472, with method = "udp" and a key_file',
        ),
        ('method = "tcp", key_file = "k"', "", 'key_file: does nothing with method = "tcp": must be left out'),
        ('source6 = "fd00::1"', "", "source6: must come with target6"),
        ('target6 = "fd00::1", source = "10.0.0.1"', "", "source: must come with target"),
        ('source = "fra1"', "", "source: must be an IPv4 address of this gateway"),
        ('target6 = "fd00::1", source6 = "fe80::1"', "", "source6: must be an IPv6 address of this gateway"),
        ('method = "ping", port = 443', "", 'method: must be "icmp", "tcp", "http", "dns" or "udp"'),
    ],
)
def test_what_a_method_does_not_take(refused, path, probe, said):
    assert [line.startswith(f"pop[0].paths[0].{said}") for line in refused(path, probe=probe)] == [True]


def test_a_default_must_suit_every_path_that_takes_it(refused, loaded):
    assert refused('method = "udp"', "", 'method = "udp"', probe="size = 46") == [
        'probe.size: must be 44, or from 48 to 1472, with method = "udp", as path p0/wg0 has it'
    ]
    assert [path.size for path in loaded('method = "tcp"', "", probe="size = 46").probe.paths] == [0, 46]
    # Whether 46 suits is not known while the method is not.
    assert len(refused("", probe='method = "ping"\nsize = 46\nport = 1')) == 1


def test_a_key_makes_the_usual_payload_larger(loaded):
    keyed, plain = loaded('key_file = "k"', "", probe='method = "udp"').probe.paths
    assert [payload_bytes(path) for path in (keyed, plain)] == [112, 44]
    assert payload_bytes(replace(keyed, size=116)) == 116


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (
            "port = 443",
            "probe.port: does nothing: no path is probed by tcp, http, dns or udp without a port of its own",
        ),
        ('method = "tcp"\nsize = 100', "probe.size: does nothing: no path is probed by icmp or udp without a size"),
        ('key_file = "/dev/null"', "probe.key_file: does nothing: no path is probed by udp without a key_file"),
        ('method = "udp"\nkey_file = "no.key"', "no.key cannot be read now"),
    ],
)
def test_what_serves_no_path_is_warned_of(loaded, probe, said):
    (warning,) = loaded("", probe=probe).warnings
    assert said in warning


def test_a_default_port_for_the_paths_that_are_not_probed_by_icmp(loaded):
    config = loaded("", 'method = "tcp"', probe="port = 8443")
    assert [path.port for path in config.probe.paths] == [0, 8443]
    assert not config.warnings


@pytest.mark.parametrize(
    ("method", "family", "size", "expected"),
    [
        ("icmp", 4, 0, 84),
        ("icmp", 6, 0, 104),
        ("icmp", 4, 1472, 1500),
        ("udp", 4, 0, 72),
        ("udp", 6, 112, 160),
        ("tcp", 4, 0, 164),
        ("tcp", 6, 0, 224),
    ],
)
def test_bytes_on_the_wire(method, family, size, expected):
    path = ProbePath(PathId("a/b"), "a", "b", 0, (), 1.0, 1.0, method=method, size=size)
    assert probe_bytes(path, family) == expected


@pytest.mark.parametrize(
    ("paths", "probe", "warned"),
    [
        (['budget = "84B/s"'], "", None),
        (
            ['budget = "83B/s"'],
            "",
            "1 probe of 84 bytes a second by wg0 need 84B/s; 83B/s allows each path one every 1.01s",
        ),
    ],
)
def test_the_edge_of_a_budget(loaded, paths, probe, warned):
    warnings = loaded(*paths, probe=probe).warnings
    assert [line.split(": ", 2)[2] for line in warnings] == ([warned] if warned else [])


def test_a_budget_that_does_not_pay_for_the_intervals(loaded):
    fifty = [f'dev = "lte", name = "p{n}"' for n in range(50)]
    config = loaded(*fifty, probe='budget = "1kB/s"')
    assert [path.budget for path in config.probe.paths] == [1000.0] * 50
    said = "probe.budget: 50 probes of 84 bytes a second by lte need 4.2kB/s; 1kB/s allows each path one every 4.2s"
    assert config.warnings == (f"{config.source}: {said}",)
    config = loaded(
        'dev = "lte", interval = "100ms", budget = "600B/s"', 'dev = "lte", target6 = "fd00::1", interval = 1'
    )
    said = (
        "pop[0].paths[0].budget: 10 probes of 84 bytes and 1 probe of 104 bytes a second by lte need 944B/s;"
        " 600B/s allows each path one every 157ms or 1.57s"
    )
    assert config.warnings == (f"{config.source}: {said}",)
    assert not loaded(*fifty, probe='budget = "1kB/s"\ninterval = 5').warnings


def test_a_device_has_one_budget(loaded, refused):
    lte = 'dev = "lte", name'
    assert refused(f'{lte} = "a", budget = "1kB/s"', f'{lte} = "b"', f'{lte} = "c", budget = "2kB/s"') == [
        "pop[2].paths[0].budget: must be 1kB/s, as pop[0].paths[0].budget says for the same device lte"
    ]
    paths = loaded(f'{lte} = "a"', f'{lte} = "b", budget = "1kB/s"', "", probe='budget = "9kB/s"').probe.paths
    assert [path.budget for path in paths] == [1000, 1000, 9000]
    assert loaded(f'{lte} = "a", budget = "1kB/s"', f'{lte} = "b", budget = "1000B/s"')


def test_keys_of_a_shape_that_does_not_exist_are_named_with_their_place(refused):
    assert refused('prot = 443, method = "tcp"') == ['pop[0].paths[0].prot: is not a known key; did you mean "port"?']
    assert refused("", probe='source = "10.0.0.1"') == [
        "probe.source: is not a known key; it belongs in an entry of a PoP's paths"
    ]


def test_a_file_in_a_folder_is_found_beside_the_configuration(loaded, tmp_path):
    (tmp_path / "keys").mkdir()
    Path(tmp_path / "keys" / "stamp").write_text("00" * 16)
    assert not loaded('method = "udp", key_file = "keys/stamp"').warnings


def test_a_path_tells_the_core_when_another_thing_is_probed_and_only_then(loaded):
    def probed(*keys):
        (path,) = loaded(*keys).core.paths
        return path.probed

    usual = probed("")
    assert usual == probed('interval = "3s"') == probed('timeout = "2s"')
    assert len({usual, probed('method = "tcp"'), probed('method = "tcp", port = 8443')}) == 3


HTTP = 'method = "http", get = "http://connectivity.example:8080/generate_204?a=b"'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('method = "http"', "get: must be given with method = "),
        ('method = "http", get = "https://connectivity.example/"', 'get: must begin with "http://"'),
        ('method = "http", get = "http://me:secret@connectivity.example/"', "get: must be"),
        ('get = "http://connectivity.example/"', 'get: does nothing with method = "icmp": must be left out'),
        ('method = "tcp", expect = 200', 'expect: does nothing with method = "tcp": must be left out'),
        (HTTP + ", expect = 99", "expect: must be"),
    ],
)
def test_mistakes_in_what_is_asked_by_http(tmp_path, written, said):
    with pytest.raises(ConfigError) as caught:
        http(tmp_path, written)
    assert [f"{one.key.rpartition('.')[2]}: {one.allowed}".startswith(said) for one in caught.value.problems] == [True]


def test_what_is_asked_by_http(tmp_path):
    path = http(tmp_path, HTTP).probe.paths[0]
    assert (path.port, path.check) == (8080, HttpCheck("connectivity.example:8080", "/generate_204?a=b"))
    path = http(tmp_path, HTTP + ', port = 81, expect = 200, body = "ok"').probe.paths[0]
    assert (path.port, path.check.status, path.check.body) == (81, 200, b"ok")


def test_what_is_asked_by_dns(loaded, refused):
    path = loaded('method = "dns"').probe.paths[0]
    assert (path.port, path.query, path.size) == (53, ".", 0)
    path = loaded('method = "dns", port = 5353, query = "Www.Example.net"').probe.paths[0]
    assert (path.port, path.query) == (5353, "www.example.net")
    assert loaded('method = "dns"', probe='query = "example.net"').probe.paths[0].query == "example.net"
    for wrong in ('""', '"a b"', '"10.0.0.1"', '"a..b"', "53"):
        assert refused(f'method = "dns", query = {wrong}')[0].startswith("pop[0].paths[0].query: must be a host name")
    assert refused('query = "example.net"') == [
        'pop[0].paths[0].query: does nothing with method = "icmp": must be left out'
    ]


def http(folder, written):
    file = folder / "steerd.toml"
    file.write_text(
        f'[[pop]]\nname = "a"\npaths = [{{ dev = "wg0", target = "10.0.0.1", {written} }}]\n'
        '[[policy]]\nname = "p"\nprefixes = ["10.0.0.0/8"]\n'
    )
    return load(file)
