"""A provider's catalogue: what is taken, what is refused and why, and what it can never change."""

import json
import re
import zlib
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from steerd.config.catalogue.entries import counted
from steerd.config.catalogue.signed import CONTEXT, MOST, RefusedError, fresh, sign, verified
from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load, with_catalogue
from steerd.share.signing import public_text

KEY, OTHER = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
TRUSTED = ((public_text(KEY.verify_key), "alice"),)
FILE = f"""
[gateway]
name = "gw1"
[route]
mark = "0xfff00000"
[store]
path = "store"
[catalogue]
name = "provider"
file = "list.json"
dev = "wg-{{name}}"
trusted_keys = ["{TRUSTED[0][0]} alice"]
[[pop]]
name = "local"
region = "eu"
paths = [{{ dev = "wg-local", target = "10.64.0.1" }}]
[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
[[policy]]
name = "inside"
prefixes = ["198.51.100.0/24"]
regions = ["eu"]
"""
NOW = 1_800_000_000.0


def pop(name, number=1, **more):
    return {"name": name, "target": f"10.65.{number >> 8}.{number & 255}", **more}


def signed(*pops, serial=1, name="provider", key=KEY, issued=NOW, lasts=86400.0):
    return sign(
        key,
        name=name,
        serial=serial,
        issued_ms=int(issued * 1000),
        expires_ms=int((issued + lasts) * 1000),
        pops=list(pops),
    )


def raw(body, key=KEY):
    """Signed by a signer who does not check."""
    signature = urlsafe_b64encode(key.sign(CONTEXT + body).signature).rstrip(b"=")
    id_ = json.loads(signed(key=key))["key"].encode()
    return b'{"key":"%s","sig":"%s","catalogue":%s}' % (id_, signature, body)


def reason(payload, name="provider"):
    with pytest.raises(RefusedError) as caught:
        verified(payload, name, TRUSTED)
    return caught.value.reason


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "steerd.toml").write_text(FILE)
    return tmp_path / "steerd.toml"


def keep(file, payload):
    (file.parent / "store/catalogue-provider.json").write_bytes(payload)


def clash(file, *pops):
    with pytest.raises(ConfigError) as caught:
        with_catalogue(load(file), signed(*pops))
    return str(caught.value)


def test_what_was_signed_is_what_is_read():
    listed = verified(signed(pop("a", tags=["x"]), serial=7) + b"\n", "provider", TRUSTED)
    assert (listed.serial, listed.signer, [dict(one) for one in listed.pops]) == (7, "alice", [pop("a", tags=["x"])])


def test_what_is_not_as_it_was_signed_is_refused():
    good = signed(pop("a"))
    assert reason(good.replace(b"10.65.0.1", b"10.65.0.2")) == "signature"
    assert reason(signed(pop("a"), key=OTHER)) == "unknown key"
    assert reason(good, "another") == "wrong name"
    assert reason(b" " * (MOST + 1)) == "too large"
    assert reason(zlib.compress(b"0" * MOST)) == "malformed"  # nothing is ever inflated
    assert {reason(good[:at]) for at in range(len(good))} == {"malformed"}
    order = good.replace(b'"catalogue":', b'"order":')
    assert reason(order) == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"v":2,"name":"provider","serial":1,"issued_ms":0,"expires_ms":0,"pops":[]}',
        b'{"v":1,"name":"provider","serial":-1,"issued_ms":0,"expires_ms":0,"pops":[]}',
        b'{"v":1,"name":"provider","serial":1e3,"issued_ms":0,"expires_ms":0,"pops":[]}',
        b'{"v":1,"name":"provider","serial":1,"issued_ms":0,"expires_ms":0,"pops":[1]}',
        b'{"v":1,"name":"provider","serial":1,"issued_ms":0,"expires_ms":0,"pops":[],"policy":[]}',
        b'{"v":1,"name":"provider","serial":1,"issued_ms":0,"expires_ms":0,"pops":' + b"[" * 100_000 + b"}",
        b'{"a":\xff}',
    ],
)
def test_a_signer_who_signs_nonsense_is_refused_too(body):
    assert reason(raw(body)) == "malformed"


def test_times_and_serials():
    former, same, new = (verified(signed(serial=serial), "provider", TRUSTED) for serial in (5, 5, 6))
    fresh(new, former, NOW)
    fresh(new, None, NOW - 299.0)
    for listed, before, now, expected in (
        (same, former, NOW, "stale"),
        (former, new, NOW, "stale"),
        (new, former, NOW - 301.0, "not yet valid"),
        (new, former, 0.0, "not yet valid"),
        (new, former, NOW + 86401.0, "expired"),
    ):
        with pytest.raises(RefusedError) as caught:
            fresh(listed, before, now)
        assert caught.value.reason == expected


def test_its_pops_come_by_the_devices_of_this_gateway(file):
    keep(file, signed(pop("fra1", region="eu", bias="5ms"), pop("nyc1", 2)))
    config = load(file)
    assert not any("catalogue" in warning for warning in config.warnings)
    assert [(path.path, path.device) for path in config.route.paths] == [
        ("local/wg-local", "wg-local"),
        ("fra1/provider", "wg-fra1"),
        ("nyc1/provider", "wg-nyc1"),
    ]
    assert config.core.paths[1].bias == 5.0


def test_before_the_first_one_local_pops_are_used_and_regions_hold(file):
    config = load(file)
    assert "none has come yet" in config.warnings[0]
    assert [path.pop for path in config.core.paths] == ["local"]
    file.write_text(FILE.replace('region = "eu"', 'region = "us"'))
    (_, inside) = load(file).core.policies
    assert [path for path, _ in inside.forbidden] == ["local/wg-local"]


def test_a_gateway_without_pops_of_its_own_starts_before_the_first_one(file):
    text = re.sub(r"\[\[pop\]\].*?(?=\[\[policy)", "", FILE, flags=re.DOTALL)
    file.write_text(text)
    config = load(file)
    assert not config.core.paths
    assert len(config.route.policies) == 2
    assert [path.pop for path in with_catalogue(config, signed(pop("a", region="eu"))).core.paths] == ["a"]


@pytest.mark.parametrize("kept", [b"", b"{", signed(pop("a"), key=OTHER), signed(pop("a"))[:-9]])
def test_one_that_was_damaged_on_the_disk_is_told_and_not_used(file, kept):
    keep(file, kept)
    config = load(file)
    assert "the last good one, cannot be used" in config.warnings[0]
    assert [path.pop for path in config.core.paths] == ["local"]


def test_at_a_reload_the_one_in_force_is_used_whatever_became_of_the_disk(file):
    keep(file, b"")
    assert [path.pop for path in load(file, document=signed(pop("a"))).core.paths] == ["local", "a"]
    keep(file, signed(pop("b"), name="next"))
    (file.parent / "store/catalogue-provider.json").rename(file.parent / "store/catalogue-next.json")
    file.write_text(FILE.replace('name = "provider"', 'name = "next"'))
    assert [path.pop for path in load(file, document=signed(pop("a"))).core.paths] == ["local", "b"]
    file.write_text(FILE.replace(TRUSTED[0][0], public_text(OTHER.verify_key)))
    with pytest.raises(ConfigError, match="cannot be taken: it is signed with a key that is not trusted"):
        load(file, document=signed(pop("a")))


def test_what_clashes_is_refused_whole_and_named(file):
    said = clash(file, pop("a"), pop("local", 2))
    assert f'catalogue provider: pop[1].name: found "local"; must be unique: {file}: pop[0] has this name' in said
    assert "catalogue provider: pop[0] has this name" in clash(file, pop("a"), pop("a", 2))
    assert "catalogue provider: pop[0].paths[0].dev" in clash(file, pop("a-name-of-many-letters"))


def test_5000_pops_are_refused_with_a_reason(file):
    assert "must list at most 4096 PoPs" in clash(file, *(pop(f"p{number}", number) for number in range(5000)))
    said = clash(file, *(pop(f"p{number}", number) for number in range(4096)))
    assert "has 12 bits: at most 4095 paths, and there are 4097" in said


@pytest.mark.parametrize(
    "more",
    [
        {"dev": "eth0"},
        {"paths": [{"dev": "eth0"}]},
        {"via": "10.0.0.1"},
        {"over": "eth0"},
        {"uplink": "eth0"},
        {"key_file": "/etc/shadow"},
        {"get": "http://a/"},
        {"method": "http"},
        {"policy": []},
        {"__class__": 1},
    ],
)
def test_it_says_what_a_pop_is_and_nothing_of_this_gateway(file, more):
    (key,) = more
    assert f"catalogue provider: pop[0].{key}: is not for a catalogue to say" in clash(file, pop("a", **more))


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "a b",
        "../../x",
        "a/b",
        "a\nb",
        "a\x1b[31m",
        "x" * 64,
        "{name}",
        "{name.__class__}",
        None,
        1,
        [],
        {},
        True,
    ],
)
def test_hostile_names_are_refused(file, hostile):
    said = clash(file, {**pop("a"), "name": hostile})
    assert "catalogue provider: pop[0].name" in said
    assert all(line.isprintable() for line in said.split("\n"))


def test_the_files_are_not_read_again_for_it(file):
    former = load(file)
    file.write_text("broken")
    assert [path.pop for path in with_catalogue(former, signed(pop("a"))).core.paths] == ["local", "a"]
    again = with_catalogue(with_catalogue(former, signed(pop("a"))), signed(pop("b"), serial=2))
    assert [path.pop for path in again.core.paths] == ["local", "b"]


def test_the_table_itself_is_checked(file):
    for old, new, words in (
        ('file = "list.json"', "", "must have one of file, url and topic = true"),
        ('file = "list.json"', 'file = "a"\nurl = "https://a/b"', "must have one of file, url and topic = true"),
        ('file = "list.json"', 'url = "http://a/b"', 'must be a URL that begins with "https://"'),
        ('file = "list.json"', 'url = "https://u:p@a/b"', "without a user or a password"),
        ('file = "list.json"', 'file = "a"\nca = "ca.pem"', "catalogue.ca"),
        ("trusted_keys = ", "# ", "catalogue.trusted_keys: must list who may sign it"),
        ('dev = "wg-{name}"', "", "catalogue.dev: is missing"),
    ):
        file.write_text(FILE.replace(old, new))
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert words in str(caught.value)


def test_what_changed_is_counted():
    one = verified(signed(pop("a"), pop("b"), pop("c")), "provider", TRUSTED)
    two = verified(signed(pop("a"), pop("b", bias="1ms"), pop("d"), pop("e"), serial=2), "provider", TRUSTED)
    assert counted(one, two) == "2 PoPs added, 1 changed, 1 withdrawn"
    assert counted(None, one) == "3 PoPs added, 0 changed, 0 withdrawn"


REGIONS = st.sampled_from(["eu", "us", "default", "EU"])
POPS = st.lists(
    st.fixed_dictionaries({}, optional={"region": REGIONS, "tags": st.lists(REGIONS, max_size=2)}),
    min_size=1,
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(one=POPS, two=POPS)
def test_no_catalogue_lets_a_policy_leave_its_regions(file, one, two):
    config = load(file)
    for serial, some in enumerate((one, two), 1):
        pops = [pop(f"p{at}", at + 1, **more) for at, more in enumerate(some)]
        config = with_catalogue(config, signed(*pops, serial=serial))
        regions = {"local": "eu"} | {each["name"]: each.get("region", "default") for each in pops}
        (route,) = (policy for policy in config.route.policies if policy.policy == "inside")
        (core,) = (policy for policy in config.core.policies if policy.policy == "inside")
        allowed = {path.path for path in config.core.paths} - {path for path, _ in core.forbidden}
        assert allowed == route.allowed == {p.path for p in config.core.paths if regions[p.pop] == "eu"}
        former = load(file)
        assert [p.guard for p in config.route.policies] == [p.guard for p in former.route.policies]
        assert (config.mqtt, config.hooks, config.route.protocol) == (former.mqtt, former.hooks, former.route.protocol)
