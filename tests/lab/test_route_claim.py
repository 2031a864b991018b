"""Two routers that think the same numbers theirs: the second does not start, and nothing of the first's is touched."""

import os
import pickle
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from steerd.route.claim import Claim
from steerd.route.error import RouteError
from tests.lab.test_route_world import Gateway, Heard, ours, path, policy, reconfigure, routing, settings, steer

pytestmark = pytest.mark.lab

PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "10.0.0.0/8")
OTHERS = {"table": 5200, "rule_priority": 5200, "nexthop_base": 52_000_000, "nft_table": "other", "mark_mask": 0xFF0000}


@pytest.fixture
def gateway():
    with Gateway("a", "b") as one:
        yield one


@pytest.mark.parametrize("key", ["table", "rule_priority", "nexthop_base", "nft_table"])
def test_a_second_with_one_number_of_the_first_is_refused(gateway, key):
    async def run():
        first = Heard().router(settings(PATHS, (ALL,)))
        await first.start()
        await first.steer(steer("all", "a", "b"))
        before = ours()
        clash = {name: number for name, number in OTHERS.items() if name != key}
        with pytest.raises(RouteError, match=rf"another steerd, process \d+, has route.{key} "):
            await Heard().router(settings((), (), **clash)).start()
        assert ours() == before
        second = Heard().router(settings((), (), **OTHERS))
        await second.start()
        # Nor may a reload come to it; and what was held before is held still.
        with pytest.raises(RouteError, match=rf"another steerd, process \d+, has route.{key} "):
            await reconfigure(second, settings((), (), **clash))
        with pytest.raises(RouteError, match="another steerd"):
            await Heard().router(settings((), (), **OTHERS)).start()
        await first.stop()
        await reconfigure(second, settings((), (), **clash))
        await second.stop()
        third = Heard().router(settings(PATHS, (ALL,)))
        await third.start()
        await third.stop()

    routing(run())


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("table", 4210),
        ("table", 4000),
        ("rule_priority", 4230),
        ("rule_priority", 4101),
        ("nexthop_base", 42_000_000 + (1 << 20) - 1),
        ("mark_mask", 0x01FF0000),
    ],
)
def test_a_second_whose_ranges_meet_those_of_the_first_is_refused_and_both_are_named(gateway, key, number):
    async def run():
        first = Heard().router(settings(PATHS, (ALL,)))
        await first.start()
        await first.steer(steer("all", "a", "b"))
        before = ours()
        name = "mark" if key == "mark_mask" else key
        refused = rf"another steerd, process {os.getpid()}, has route.{name} .* here, which meets "
        with pytest.raises(RouteError, match=refused):
            await Heard().router(settings((), (), **(OTHERS | {key: number}))).start()
        assert ours() == before
        beside = Heard().router(settings((), (), **OTHERS))
        await beside.start()
        await beside.stop()
        await first.stop()

    routing(run())


def test_a_claim_goes_with_its_process_however_that_ends(gateway):
    program = (
        "import sys, pickle; from steerd.route.claim import Claim; one = Claim(); "
        "one.take(pickle.loads(sys.stdin.buffer.read())); print('held', flush=True); import time; time.sleep(30)"
    )

    given = settings((), ())
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdin.write(pickle.dumps(given))
        holder.stdin.close()
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RouteError, match=f"process {holder.pid}, has route.table 4200"):
            Claim().take(given)
    finally:
        holder.kill()
        holder.wait(60)
        holder.stdout.close()
    claim = Claim()
    claim.take(given)
    claim.take(given)  # one's own is no other's
    claim.close()


def test_a_claim_holds_against_another_user_who_may_route_and_not_against_one_who_may_not(gateway):
    program = (
        "import sys, pickle; from steerd.route.claim import Claim; one = Claim(); "
        "one.take(pickle.loads(sys.stdin.buffer.read())); print('held', flush=True); import time; time.sleep(30)"
    )
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("there is one user only in here")
    given = settings((), ())
    service = ["--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    for more, refused in ((service, True), ([], False)):
        user = ["setpriv", "--reuid=998", "--regid=998", "--clear-groups", *more]
        command = [*user, sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                holder.stdin.write(pickle.dumps(given))
                holder.stdin.close()
                assert holder.stdout.readline() == b"held\n"
                with closing(Claim()) as ours:
                    if refused:
                        with pytest.raises(RouteError, match=f"process {holder.pid}, has route.table 4200"):
                            ours.take(given)
                    else:
                        ours.take(given)
            finally:
                holder.kill()
