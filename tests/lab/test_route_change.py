"""A reload of routing is a transaction: wherever it fails, and after it was taken up, all can be as it was."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from steerd.config.route_settings import Guard
from steerd.core.events import Installed
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel
from steerd.route.nft.firewall import Firewall
from steerd.route.nft.protect import Protection
from steerd.route.once import cleanup
from tests.lab.test_route_guard import ruleset
from tests.lab.test_route_world import Gateway, Heard, ours, path, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

both_ways = pytest.mark.parametrize("objects", [True, False], ids=["nexthop-objects", "plain-routes"])
PATHS = (path(1, "a"), path(2, "b"), path(3, "c"))
OLD = (
    policy("all", 0, "10.0.0.0/8", "2001:db8::/32", guard=Guard.USUAL),
    policy("gone", 1, "172.16.0.0/16", guard=Guard.USUAL),
)
NEW = (
    policy("new", 0, "172.31.0.0/16", guard=Guard.USUAL),
    policy("all", 1, "10.0.0.0/9", "2001:db8::/32", guard=Guard.USUAL),
)
ELSEWHERE = {"table": 5200, "rule_priority": 5200, "nexthop_base": 52_000_000, "nft_table": "other"}

STEPS = (
    (Kernel, "read"),
    (Kernel, "may_change"),
    (Kernel, "apply"),
    (Kernel, "way"),
    (Protection, "check"),
    (Protection, "trial"),
    (Protection, "hold"),
    (Protection, "remove"),
    (Firewall, "contents"),
)


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


@contextmanager
def failing(at: int, *, times: int = 1) -> Iterator[list[str]]:
    """The ``at``th thing that is asked of the kernel fails, and so many from there on. Gives what was asked."""
    asked: list[str] = []

    def wrapped(name, real):
        def step(*of, **how):
            asked.append(name)
            if at <= len(asked) < at + times:
                raise OSError(5, f"{name} fails")
            return real(*of, **how)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, wrapped(name, getattr(owner, name)))
        yield asked


def packets(gateway) -> dict[str, int]:
    """Which device each policy's packets leave by."""
    for target in ("10.1.2.3", "10.200.2.3", "172.16.1.1", "172.31.1.1", "2001:db8::1"):
        gateway.send(target)
    return gateway.arrivals()


def given(objects: bool):
    old = settings(PATHS, OLD, objects=objects)
    policies = tuple(replace(one, table=5200 + one.order) for one in NEW)
    paths = tuple(replace(one, table=one.table + 1000) for one in PATHS[:2])
    return old, settings(paths, policies, objects=objects, **ELSEWHERE)


def seen(router, gateway):
    return ours(), ruleset(), router.links(), router.installed(), router.effective(), packets(gateway)


@both_ways
def test_wherever_it_fails_all_is_as_before(gateway, objects):
    old, new = given(objects)

    async def run():
        heard = Heard()
        router = heard.router(old)
        await router.start()
        await router.steer(steer("all", "c", "a"))
        await router.steer(steer("gone", "b", "a"))
        before = seen(router, gateway)
        assert before[-1] == {"c": 3, "b": 1, "wan": 1}
        refusals = []
        for at in range(1, 100):
            heard.repairs.clear()
            change = None
            with failing(at) as asked:
                try:
                    change = await router.prepare(new)
                    assert seen(router, gateway) == before, "nothing is changed before the commit"
                    await change.commit()
                except RouteError as error:
                    refusals.append(str(error))
            through = len(asked) < at
            if change is not None:
                await change.abort()
            assert seen(router, gateway) == before, (at, asked)
            if through:
                break
        assert len(refusals) > 5
        assert all("fails" in refusal for refusal in refusals)
        assert not heard.repairs
        await router.stop()

    routing(run())
    assert cleanup(old) > 0
    assert cleanup(new) == 0


@both_ways
def test_after_the_commit_too(gateway, objects):
    old, new = given(objects)

    async def run():
        heard = Heard()
        router = heard.router(old)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.steer(steer("gone", "b", "a"))
        before = seen(router, gateway)
        change = await router.prepare(new)
        await change.commit()
        assert change.installed == (Installed("all", "pop/a", "pop/b" if objects else None),)
        assert router.effective() == new
        assert packets(gateway) == {"a": 2, "wan": 2}  # 172.31 waits for its first choice, behind the guard
        await router.steer(steer("new", "b"))
        assert packets(gateway) == {"a": 2, "b": 1, "wan": 2}
        await change.abort()
        assert seen(router, gateway) == before
        assert heard.installed[-2:] == [
            Installed("all", "pop/a", "pop/b" if objects else None),
            Installed("gone", "pop/b", "pop/a" if objects else None),
        ]
        await change.abort()  # once is enough
        with pytest.raises(RouteError, match="committed before"):
            await change.commit()
        assert seen(router, gateway) == before
        assert cleanup(new) == 0
        await router.stop()

    routing(run())


def test_what_a_policy_chose_since_stands_after_an_abort(gateway):
    old, new = given(objects=True)

    async def run():
        router = Heard().router(old)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        change = await router.prepare(new)
        # Nothing waits for a change that is not ended.
        async with asyncio.timeout(5):
            assert await router.steer(steer("gone", "c")) == Installed("gone", "pop/c", None)
        await change.commit()
        await router.steer(steer("all", "b"))
        await change.abort()
        assert packets(gateway) == {"b": 3, "c": 1, "wan": 1}
        await router.stop()

    routing(run())


def test_what_can_not_be_put_back_at_once_is_put_back_by_and_by(gateway, caplog):
    old, new = given(objects=True)

    async def run():
        heard = Heard()
        router = heard.router(old)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.steer(steer("gone", "b", "a"))
        before = ours()
        change = await router.prepare(new)
        await change.commit()
        with failing(1, times=1000):
            await change.abort()
        assert "could not all be put back yet" in caplog.text
        assert router.effective() == old
        await until_async(lambda: ours() == before)
        assert cleanup(new) == 0
        await router.stop()

    routing(run())


def test_of_several_only_the_last_is_committed_and_numbers_are_released(gateway):
    old, new = given(objects=True)

    async def run():
        router = Heard().router(old)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        before = ours()
        first = await router.prepare(new)
        with pytest.raises(RouteError, match="another steerd"):
            await Heard().router(settings((), (), mark_mask=0xFF0000, **ELSEWHERE)).start()  # they are claimed
        second = await router.prepare(replace(old, policies=OLD[:1]))
        other = Heard().router(settings((), (), mark_mask=0xFF0000, **ELSEWHERE))
        await other.start()
        await other.stop()
        with pytest.raises(RouteError, match="another took its place"):
            await first.commit()
        await first.abort()
        assert ours() == before
        await second.commit()
        await second.abort()
        third = await router.prepare(new)
        await third.abort()
        other = Heard().router(settings((), (), mark_mask=0xFF0000, **ELSEWHERE))
        await other.start()
        await other.stop()
        await router.stop()
        await third.abort()  # whenever it comes

    routing(run())
    assert cleanup(old) > 0
    cleanup(new)


def test_what_former_settings_left_is_removed_later(gateway, caplog, monkeypatch):
    old, new = given(objects=True)
    remove = Protection.remove

    def fails_once(*of):
        monkeypatch.setattr(Protection, "remove", remove)
        raise OSError(16, "Device or resource busy")

    async def run():
        router = Heard().router(old)
        await router.start()
        monkeypatch.setattr(Protection, "remove", fails_once)
        await (await router.prepare(new)).commit()
        assert "what former settings left cannot be removed yet" in caplog.text
        await until_async(lambda: "table inet steerd {" not in ruleset())
        assert "table inet other {" in ruleset()
        await router.stop()

    routing(run())
