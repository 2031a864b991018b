"""`steerd run --dry-run` by whoever may do nothing: what it can read it prints, and it cannot have changed a thing."""

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from steerd.config.gateway.load import load
from steerd.core.effects import Steer
from tests.lab.test_route_world import Gateway, Heard, ip, routing

pytestmark = pytest.mark.lab

FILE = """\
[[pop]]
name = "fra1"
paths = [{ dev = "a", target = "10.64.1.1" }]
[[pop]]
name = "ams1"
paths = [{ dev = "b", target = "10.64.2.1" }]
[[policy]]
name = "p"
prefixes = ["10.0.0.0/8", "2001:db8::/32"]
leak_guard = false
flows = "move"
[route]
clamp_mss = false
"""
NOTHING = "# the kernel already has all of it\n"

# The user may not be allowed to read what Python is made of: everything is imported before.
DRY_RUN = """
import os, sys
import steerd.cli.verbs.run, steerd.cli.steerd, steerd.route.router
user = int(sys.argv[1])
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
with open("/proc/self/status") as file:
    has = {line.split()[0]: line.split()[1] for line in file if line.startswith(("CapEff", "CapPrm", "Uid"))}
assert int(has["CapEff:"], 16) == int(has["CapPrm:"], 16) == 0, has
assert int(has["Uid:"]) == user, has
sys.exit(steerd.cli.steerd.main(["run", "--dry-run", "-c", sys.argv[2]]))
"""
NOBODY = 65534
_PR_CAPBSET_DROP = 24


def give_up_capabilities() -> None:
    """What root gets when it executes a program is bounded by this set."""
    libc = ctypes.CDLL(None)
    number = 0
    while libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1


def dry_run(user: int, file: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DRY_RUN, str(user), str(file)],
        preexec_fn=None if user else give_up_capabilities,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def everything() -> str:
    """All that routing consists of in this namespace, whoever made it; not what comes and goes with time:
    link-local addresses appear once nobody else was found to have them."""
    listings = ("-4 rule", "-6 rule", "nexthop", "nexthop bucket", "-4 route show table all", "-6 route show table all")
    found = "\n".join(ip("-d", *one.split()) for one in (*listings, "link", "addr"))
    return re.sub(r" idle_time \S+", "", "\n".join(line for line in found.splitlines() if "fe80::" not in line))


def is_mapped(user: int) -> bool:
    ranges = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= user < first + count for first, _, count in ranges)


@pytest.fixture
def file():
    """Where everybody may read it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "steerd.toml"
        file.write_text(FILE)
        file.chmod(0o644)
        yield file


@pytest.mark.parametrize("user", [0, NOBODY], ids=["root without a capability", "nobody"])
def test_a_dry_run_needs_no_capability_and_changes_nothing(user, file):
    if user and not is_mapped(user):
        pytest.skip("this user namespace has no other user")
    settings = load(file).route
    fra, ams = (path.path for path in settings.paths)
    with Gateway("a", "b"):
        empty = everything()
        first = dry_run(user, file)
        assert everything() == empty
        assert "ip route replace default table " in first
        assert all(line.startswith(("ip ", "# ")) for line in first.splitlines())

        async def steered():
            router = Heard().router(settings)
            await router.start()
            await router.steer(Steer("p", fra, ams, "1-1"))
            await router.stop()

        routing(steered())
        full = everything()
        assert full != empty
        assert dry_run(user, file).endswith(NOTHING)
        rule = next(line for line in ip("rule").splitlines() if "not from all iif lo" in line)
        table = rule.split("lookup ")[1].split()[0]
        ip("rule", "del", "not", "iif", "lo", "priority", "4231")
        lines = [line for line in dry_run(user, file).splitlines() if not line.startswith("# ")]
        assert lines == [f"ip rule add not iif lo priority 4231 lookup {table} protocol 210"]
        assert everything() != full
        ip("rule", "add", "not", "iif", "lo", "priority", "4231", "lookup", table, "protocol", "210")
        assert dry_run(user, file).endswith(NOTHING)
        assert everything() == full
