"""When each leg is probed: as often as it is asked for, as far as its device's budget allows."""

from collections.abc import Mapping

from steerd.config.probe_settings import probe_bytes
from steerd.core.views import Finding
from steerd.probe.carrier import Leg
from steerd.probe.findings import Findings
from steerd.probe.timing.schedule import Schedule, phase

_NEWS = 0.01  # a change of the stretch by less than this share is ignored


class _Budget:
    """What the probes of one device may take together, ``rate`` in bytes a second: all their periods are stretched by
    the same factor."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.stretch = 1.0
        self._wanted: dict[tuple[Leg, bool], float] = {}  # whether it is what is sent beside its probes

    def want(self, leg: Leg, beside: bool, size: int, period: float | None) -> bool:
        """``leg`` wants ``size`` bytes every ``period`` seconds (None: nothing). True: the stretch changed, for all."""
        if period is None:
            self._wanted.pop((leg, beside), None)
        else:
            self._wanted[leg, beside] = size / period
        stretch = max(1.0, sum(self._wanted.values()) / self.rate)
        if abs(stretch - self.stretch) <= _NEWS * self.stretch and (stretch > 1.0) == (self.stretch > 1.0):
            return False
        self.stretch = stretch
        return True


class Pace:
    """The ``schedule`` of all legs, and the budgets of their devices. Times in seconds on the loop's clock."""

    def __init__(self, seed: int, findings: Findings) -> None:
        self._seed = seed
        self._findings = findings
        self.schedule: Schedule[Leg] = Schedule()
        self._wanted: dict[Leg, float | None] = {}
        self._beside: dict[Leg, tuple[int, float]] = {}
        self._budgets: dict[str, _Budget] = {}

    def period(self, leg: Leg) -> float | None:
        """The period in force; None: at rest."""
        wanted = self._wanted.get(leg)
        return None if wanted is None else wanted * self.stretch(leg)

    def wanted(self, leg: Leg) -> float | None:
        """The period that was asked for; None: rest."""
        return self._wanted[leg]

    def stretch(self, leg: Leg) -> float:
        """By what factor the budget of the leg's device stretches its periods."""
        budget = self._budgets.get(leg.settings.device)
        return 1.0 if budget is None else budget.stretch

    def keep(self, leg: Leg) -> None:
        """Know this leg, at rest if it is new."""
        if leg not in self._wanted:
            self._wanted[leg] = None
            self.schedule.add(leg, phase(f"{leg.settings.path}#{leg.index}", self._seed))

    def budget(self, rates: Mapping[str, float], now: float) -> None:
        """How much all the probes of a device may take, in bytes a second; devices not named have no limit."""
        former, self._budgets = self._budgets, {device: _Budget(rate) for device, rate in rates.items()}
        for device in former.keys() | rates.keys():
            if device in rates:
                for leg in self._of(device):
                    self._want(leg, False, probe_bytes(leg.settings, leg.family), self._wanted[leg])
                    if leg in self._beside:
                        self._want(leg, True, *self._beside[leg])
            self._apply(device, now)

    def remove(self, leg: Leg) -> None:
        """Forget this leg; what it took of a budget is free when `budget` is called."""
        del self._wanted[leg]
        self._beside.pop(leg, None)
        self.schedule.remove(leg)

    def beside(self, leg: Leg, size: int, period: float, now: float) -> None:
        """So many bytes are sent every ``period`` seconds beside the leg's probes, and count for the same budget."""
        if self._beside.get(leg) != (size, period):
            self._beside[leg] = size, period
            if self._want(leg, True, size, period):
                self._apply(leg.settings.device, now)

    def alone(self, leg: Leg, now: float) -> None:
        """Nothing is sent beside the leg's probes any more."""
        if self._beside.pop(leg, None) is not None and self._want(leg, True, 0, None):
            self._apply(leg.settings.device, now)

    def every(self, leg: Leg, period: float | None, now: float) -> None:
        """Probe ``leg`` every ``period`` seconds from now on (None: let it rest), or as often as the budget allows."""
        self._wanted[leg] = period
        if self._want(leg, False, probe_bytes(leg.settings, leg.family), period):
            self._apply(leg.settings.device, now)
        else:
            self.schedule.every(leg, self.period(leg), now)

    def _want(self, leg: Leg, beside: bool, size: int, period: float | None) -> bool:
        """As `_Budget.want`, of the leg's device, if it has one."""
        budget = self._budgets.get(leg.settings.device)
        return budget is not None and budget.want(leg, beside, size, period)

    def _apply(self, device: str, now: float) -> None:
        for leg in self._of(device):
            self.schedule.every(leg, self.period(leg), now)
            self._tell(leg)

    def _of(self, device: str) -> list[Leg]:
        return [leg for leg in self._wanted if leg.settings.device == device]

    def _tell(self, leg: Leg) -> None:
        wanted, path, budget = self._wanted[leg], leg.settings.path, self._budgets.get(leg.settings.device)
        if budget is None or budget.stretch <= 1.0 or wanted is None:
            self._findings.over(path, Finding.BUDGET)
            return
        text = (
            f"the budget of {leg.settings.device}, {budget.rate:g} B/s, allows a probe every "
            f"{wanted * budget.stretch:.3g} s where {wanted:.3g} s is wanted"
        )
        self._findings.found(path, Finding.BUDGET, text)
