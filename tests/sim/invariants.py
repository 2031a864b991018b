"""A seeded hour: what may happen at random, and what must hold whatever happens."""

from dataclasses import replace
from random import Random

from steerd.core.effects import Effect, Shared, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Order, PopState, Verb
from steerd.core.memory import Memory
from steerd.core.policy.spread import SETTLE
from steerd.core.rules.rule import SAMPLES_MIN
from steerd.core.settings import (
    Objective,
    PanelSettings,
    PathId,
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)
from steerd.core.states import PathState, PolicyState, Reason
from steerd.sim.driver import Driver
from tests.sim.season import season

HOUR = 3600.0
CROWDED = 25
"""Every so many seeds there are hundreds of paths, for a shorter time."""

CROWDED_HOUR = 600.0
PATIENCE_TO_LEAVE = 6.0
"""Within so many seconds a dead path is left: a period, a timeout, the confirmation, and an answer elsewhere."""

CALM_AFTER = 0.9
"""From this share of the time on the network is constant, and has been for so long that nothing may move any more."""


class BrokenError(AssertionError):
    """An invariant does not hold; the message names the seed."""


class Hour:
    """One run. Everything that is drawn is drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = Random(f"{seed}/world")
        crowded = seed % CROWDED == CROWDED - 1
        self.length = CROWDED_HOUR if crowded else HOUR
        count = rng.randint(100, 400) if crowded else rng.randint(2, 6)
        uplinks = rng.choice([["a"], ["a", "b"], None])
        interval = 1.0 if crowded else rng.choice([0.5, 1.0, 1.0, 2.0])
        standby = interval * rng.choice([1.0, 1.0, 5.0, 30.0])
        paths = []
        for number in range(count):
            pop = f"pop{number // 2 if rng.random() < 0.2 else number}"
            uplink = rng.choice(uplinks) if uplinks else f"pop{number}"
            path = PathId(f"{pop}/w{number}")
            paths.append(PathSettings(path, pop, uplink, interval=interval, standby_interval=standby, timeout=1.0))
        self.ids = [path.path for path in paths]
        self.lines = {path: season(rng, self.length) for path in self.ids}
        self.pops = sorted({path.pop for path in paths})
        self.pop_of = {path.path: path.pop for path in paths}
        forbidden = tuple((path, "test") for path in self.ids[1:] if rng.random() < 0.15)
        self.forbidden = {PolicyId("one"): dict(forbidden), PolicyId("two"): {}}
        rule = rng.choice(
            [PanelSettings(), PanelSettings(), PanelSettings(), RegretSettings(), ThresholdSettings(hold=10.0)]
        )
        self.settings = Settings(
            paths=tuple(paths),
            policies=(
                replace(self._policy("one"), forbidden=forbidden, when_none=rng.choice(list(WhenNone))),
                self._policy("two"),
            ),
            rule=rule,
            round=interval,
            scout_interval=30.0,
            max_active=12,
        )
        self.rarely = max(standby, self.settings.scout_interval if crowded else 0.0)
        self.dwells = {policy.policy: policy.min_dwell for policy in self.settings.policies}
        self.moved_at: dict[PolicyId, float] = {}
        self.drained: set[str] = set()
        self.failing = rng.random() < 0.3
        self.restarted_at = 0.0
        self.traffic = self._traffic()
        self.driver = Driver(
            self.settings, self.lines, seed=seed, applies=self._applies, watch=self._watch, traffic=self.traffic
        )
        for _ in range(rng.randint(0, 8)):
            kind = rng.choice(["restart", "drain", "pin", "pop"])
            self.driver.at(rng.uniform(60, 0.7 * self.length), self._disturb, kind)
        for time in range(10, int(self.length), 5):
            self.driver.at(float(time), self._check)

    def run(self) -> Driver:
        self.driver.run(self.length)
        self._check_calm()
        if self.seed % 20 == 0:
            self._check_repeats()
        return self.driver

    def _policy(self, name: str) -> PolicySettings:
        """Every other one asks for something special."""
        rng = Random(f"{self.seed}/{name}")
        if rng.random() < 0.5:
            return PolicySettings(PolicyId(name))
        weights = [rng.choice([0.0, 0.5, 1.0, 1.0, 3.0]) for _ in range(4)]
        return PolicySettings(
            PolicyId(name),
            (),
            WhenNone.KEEP,
            rng.choice([Objective.COST, Objective.COST, Objective.MOS]),
            rtt_weight=max(0.5, weights[0]),
            jitter_weight=weights[1],
            loss_weight=weights[2],
            bias_weight=weights[3],
            preferred=tuple((path, rng.choice([3.0, 20.0, 500.0])) for path in self.ids if rng.random() < 0.3),
            min_dwell=rng.choice([0.0, 0.0, 20.0, 120.0]),
            spread=rng.choice([1, 1, 2, 3]),
            spread_within=rng.choice([10.0, 50.0]),
        )

    def _traffic(self) -> dict[PolicyId, tuple[float, float]]:
        """In every third hour policies carry so much that the path they are on is slower for it."""
        rng = Random(f"{self.seed}/traffic")
        if rng.random() < 2 / 3:
            return {}
        return {
            policy.policy: (rng.choice([1e4, 1e6, 1e8]), rng.choice([0.0, 5.0, 60.0]))
            for policy in self.settings.policies
            if rng.random() < 0.7
        }

    def _applies(self, steer: Steer) -> tuple[float, str | None]:
        if self.failing and self.rng.random() < 0.2:
            return self.rng.uniform(0.0, 0.5), "Operation not permitted"
        return self.rng.choice([0.0005, 0.02, 0.4]), None

    def _disturb(self, kind: str) -> None:
        rng, driver = self.rng, self.driver
        lasts = rng.uniform(5, 300)
        pop = rng.choice(self.pops)
        if kind == "restart":
            before = dict(driver.kernel)
            driver.restart()
            self.restarted_at = driver.now
            self._hold(driver.kernel == before, "a restart moved packets")
        elif kind == "drain":
            self.drained.add(pop)
            driver.feed(Order(Verb.DRAIN, pop, until=driver.now + lasts))
            driver.at(driver.now + lasts, self.drained.discard, pop)
        elif kind == "pop":
            driver.feed(PopState(pop, accepting=False))
            driver.at(driver.now + lasts, lambda: driver.feed(PopState(pop, accepting=True)))
        else:
            policy = rng.choice(list(self.forbidden))
            driver.feed(Order(Verb.PIN, policy, to=pop, until=driver.now + lasts, hard=rng.random() < 0.5))

    def _watch(self, now: float, effect: Effect) -> None:
        if isinstance(effect, Steer) and effect.best is not None:
            for path in (effect.best, effect.runner_up):
                self._hold(path not in self.forbidden[effect.policy], f"{path} is forbidden to {effect.policy}")
            self._hold(effect.best != effect.runner_up, "the runner-up is the best itself")
            self._check_shares(effect)
        if isinstance(effect, Switched) and effect.new is not None and effect.rule != "kernel":
            self._hold(self.pop_of[effect.new] not in self.drained, f"moved to {effect.new}, which is drained")
            self._hold(effect.new != effect.old, "a switch to the same path")
            total = effect.evidence[effect.new]["total"]
            self._hold(total >= 0.0, f"{effect.new} costs {total} ms")
            state = self.driver.engine.paths[effect.new].health.state if hasattr(self.driver, "engine") else None
            self._hold(state not in (PathState.DOWN, PathState.ABSENT), f"moved to {effect.new}, which is {state}")
            if effect.reason is Reason.BETTER and effect.rule != "forced":
                news = self._news_since_shown(effect.policy, effect.new)
                self._hold(news >= SAMPLES_MIN, f"a price move to {effect.new}, of which {news} samples are known")
                stayed = now - self.moved_at.get(effect.policy, -HOUR)
                self._hold(stayed >= self.dwells[effect.policy] - 1e-6, f"a price move after {stayed:.2f} s")
        if isinstance(effect, Switched):
            self.moved_at[effect.policy] = now

    def _news_since_shown(self, policy: PolicyId, path: PathId) -> int:
        """How much was learned of it since it became a candidate of that policy."""
        shown = self.driver.engine.policies[policy].candidates.shown
        (since,) = [one.since for one in shown if one.path == path]
        return self.driver.engine.paths[path].news - since

    def _check_shares(self, steer: Steer) -> None:
        if not steer.shares:
            return
        paths = [share.path for share in steer.shares]
        policy = next(one for one in self.settings.policies if one.policy == steer.policy)
        self._hold(paths[0] == steer.best, f"{steer.best} is not the first to share")
        self._hold(1 < len(set(paths)) == len(paths) <= policy.spread, f"shared by {paths}, of at most {policy.spread}")
        self._hold(steer.runner_up not in paths, f"{steer.runner_up} shares and stands by")
        self._hold(abs(sum(share.part for share in steer.shares) - 1.0) < 1e-9, f"parts of {steer.shares}")
        for path in paths[1:]:
            self._hold(path not in self.forbidden[steer.policy], f"{path} is forbidden to {steer.policy}")
            self._hold(self.pop_of[path] not in self.drained, f"shared with {path}, which is drained")
            if hasattr(self.driver, "engine"):
                state = self.driver.engine.paths[path].health.state
                self._hold(state not in (PathState.DOWN, PathState.ABSENT), f"shared with {path}, which is {state}")

    def _check(self) -> None:
        now, engine = self.driver.now, self.driver.engine
        for policy in engine.view(now).policies:
            best = self.driver.kernel.get(policy.policy, (None, None))[0]
            if policy.state in (PolicyState.STEERING, PolicyState.BLOCKED) and policy.choice == policy.wanted:
                self._hold(policy.choice == best, f"{policy.policy} believes {policy.choice}, the kernel has {best}")
            if self.failing or best is None or policy.pin_hard:
                continue
            if now - self.moved_at.get(policy.policy, -HOUR) <= PATIENCE_TO_LEAVE:
                continue  # it may have been led to a path that nobody had asked for long
            since = now - PATIENCE_TO_LEAVE
            dead = self._dead(best, since, now)
            for share in self.driver.shares.get(policy.policy, ())[1:]:
                left = now - self.restarted_at <= PATIENCE_TO_LEAVE or not self._dead(share.path, since, now)
                self._hold(left, f"{policy.policy} shares with {share.path}, dead for {PATIENCE_TO_LEAVE} s")
            rivals = [path for path in self.ids if path != best and path not in self.forbidden[policy.policy]]
            open_ = [path for path in rivals if self.pop_of[path] not in self.drained]
            usable = [path for path in open_ if self.lines[path].works(since - 10.0 - self.rarely, now)]
            if dead and usable and now - self.restarted_at > PATIENCE_TO_LEAVE:
                self._hold(False, f"{policy.policy} stays on {best}, dead for {PATIENCE_TO_LEAVE} s; {usable[0]} works")

    def _dead(self, path: PathId, start: float, end: float) -> bool:
        return all(one.dead or not one.link for one in [self.lines[path].at(start), *self._changes(path, start, end)])

    def _changes(self, path: PathId, start: float, end: float) -> list:
        return [one for one in self.lines[path].changes if start < one.at <= end]

    def _check_calm(self) -> None:
        """The end of a hold-down may still move something, as slowly as the gain is small. And where paths are probed
        rarely, or are slower for what they carry, there is little to learn from in so short a time: one more switch of
        each policy, and with traffic, which other policies feel, another. The shares follow."""
        calm, paths = CALM_AFTER * self.length, self.driver.engine.paths
        late = [
            one
            for one in self.driver.switches()
            if one.at > calm and (one.new is None or paths[one.new].health.hold_until < calm - 200.0)
        ]
        rarely = self.rarely > self.settings.round
        slow: dict[PolicyId, float] = {}
        for policy in self.settings.policies:
            allowed = 2 if self.traffic else int(rarely)
            for one in [one for one in late if one.policy == policy.policy][:allowed]:
                late.remove(one)
                slow[policy.policy] = one.at
        # What the kernel refused is tried again, however calm it is. And where several policies' traffic slows the same
        # paths, or one's is shared out, each move of one changes what the others see: not judged.
        shares = any(policy.spread > 1 and policy.policy in self.traffic for policy in self.settings.policies)
        if self.failing or len(self.traffic) > 1 or shares or (self.traffic and rarely):
            return
        self._hold(not late, f"a switch in constant weather: {late[:1]}")
        held = any(path.health.hold_until > calm - 200.0 for path in paths.values())
        shared = [
            one
            for _, one in self.driver.effects
            if isinstance(one, Shared)
            and one.at > calm
            and not 0.0 <= one.at - slow.get(one.policy, HOUR) <= 2.0 * SETTLE
        ]
        # A path that is probed each half minute takes minutes to be believed calm.
        self._hold(held or rarely or not shared, f"other shares in constant weather: {shared[:1]}")

    def _check_repeats(self) -> None:
        """The same events into a fresh engine give the same effects: only for runs without a restart."""
        if self.restarted_at:
            return
        draw = Random(f"{self.seed}/engine").random
        engine = Engine(self.settings, Memory(), now=0.0, epoch=1, draw=draw)
        again = [effect for now, event in self.driver.log for effect in engine.feed(event, now)]
        first = [effect for _, effect in self.driver.effects if isinstance(effect, Switched)]
        self._hold([one for one in again if isinstance(one, Switched)] == first, "the same events, other effects")

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            now = self.driver.now if hasattr(self, "driver") else 0.0
            raise BrokenError(f"seed {self.seed} at {now:.2f} s: {what} (python -m tests.sim --seed {self.seed})")
