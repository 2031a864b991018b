"""Metrics of rules, scouts and own load, of real engines: which series there are, and what they show."""

from dataclasses import replace
from math import isnan

import pytest

from steerd.core.settings import PanelSettings, PolicyId, RegretSettings, Settings, ThresholdSettings
from steerd.web.metrics import Metrics
from tests.unit.driven import Driven, steady, stepped
from tests.unit.test_export_metrics import config, one, page

MEMBERS = ["quick", "work-function", "last-sample", "patient"]
P = "default"


def configured(core: Settings) -> Metrics:
    metrics = Metrics()
    metrics.configure(replace(config(), core=core))
    return metrics


def of(samples, name):
    """The values of a family by its label ``rule``."""
    return {dict(key[1:])["rule"]: value for key, value in samples.items() if key[0] == name}


def test_rules_have_their_series_from_the_start_and_the_first_leads():
    samples = page(configured(Driven({"fra1/wg0": steady(30.0)}).settings))
    assert of(samples, "steerd_policy_rule") == {name: float(name == "quick") for name in MEMBERS}
    assert of(samples, "steerd_policy_rule_cost_switches") == dict.fromkeys(MEMBERS, 0.0)
    assert one(samples, "steerd_path_scout", pop="fra1", path="fra1/wg0") == 0
    assert isnan(one(samples, "steerd_path_last_reply_age_seconds", pop="fra1", path="fra1/wg0"))


@pytest.mark.parametrize(
    ("rule", "names", "priced"),
    [
        (PanelSettings(50.0), MEMBERS, True),
        (PanelSettings(50.0, only="patient"), ["patient"], True),
        (RegretSettings(50.0), ["work-function"], True),
        (ThresholdSettings(), ["threshold"], False),
    ],
)
def test_only_rules_that_may_lead_have_series(rule, names, priced):
    driven = Driven({"fra1/wg0": steady(30.0), "ams1/wg0": steady(60.0)}, settings=Settings(rule=rule)).run(20.0)
    metrics = configured(driven.settings)
    for samples in (page(metrics), page(metrics, driven.view())):
        assert of(samples, "steerd_policy_rule") == {name: float(name == names[0]) for name in names}
        assert list(of(samples, "steerd_policy_rule_cost_switches")) == (names if priced else [])


def test_costs_are_in_prices_of_a_switch():
    delays = {"fra1/wg0": stepped(30.0, 60.0, 55.0), "ams1/wg0": steady(32.0)}
    driven = Driven(delays, settings=Settings(rule=PanelSettings(50.0))).run(90.0)
    samples = page(configured(driven.settings), driven.view())
    rule = driven.policy().rule
    costs = of(samples, "steerd_policy_rule_cost_switches")
    assert max(costs.values()) > 0.5
    assert costs == {name: cost / 50.0 for name, cost in rule.costs.items()}
    assert of(samples, "steerd_policy_rule")[rule.leader] == 1.0


def test_a_reload_changes_which_rules_there_are():
    driven = Driven({"fra1/wg0": steady(30.0)})
    metrics = configured(driven.settings)
    metrics.configure(replace(config(), core=replace(driven.settings, rule=RegretSettings(50.0))))
    assert list(of(page(metrics), "steerd_policy_rule")) == ["work-function"]
    metrics.configure(replace(config(), core=replace(driven.settings, policies=())))
    assert not of(page(metrics), "steerd_policy_rule")


def test_scouts_and_when_each_was_heard():
    driven = Driven({f"p{number:02}/wg0": steady(30.0 + number) for number in range(14)}).run(50.0)
    metrics = configured(driven.settings)
    samples = page(metrics, driven.view())
    scouts = {dict(key[1:])["pop"]: value for key, value in samples.items() if key[0] == "steerd_path_scout"}
    assert [pop for pop, scout in scouts.items() if scout] == ["p12", "p13"]
    ages = {path.pop: path.age for path in driven.view().paths}
    for pop, age in ages.items():
        assert one(samples, "steerd_path_last_reply_age_seconds", pop=pop, path=f"{pop}/wg0") == age
    assert ages["p00"] < 1.5 < ages["p13"]
    metrics.configure(replace(config(), core=replace(driven.settings, paths=driven.settings.paths[:2])))
    left = {dict(key[1:])["pop"] for key in page(metrics) if key[0] == "steerd_path_scout"}
    assert left == {"p00", "p01"}


def test_own_load_is_a_term_of_the_cost():
    used, fra, ams = [], steady(30.0), steady(32.0)
    loaded = {
        "fra1/wg0": lambda now: fra(now) + 60.0 * (now > 20.0 and used[-1:] == ["fra1/wg0"]),
        "ams1/wg0": lambda now: ams(now) + 60.0 * (used[-1:] == ["ams1/wg0"]),
    }
    driven = Driven(loaded, rates={"fra1/wg0": 1e6, "ams1/wg0": 1e6}, used=used).run(60.0)
    samples = page(configured(driven.settings), driven.view())
    view = driven.policy()
    assert view.policy == PolicyId(P)
    terms = {
        candidate.path: one(
            samples, "steerd_path_cost_seconds", policy=P, pop=candidate.path[:4], path=candidate.path, term="own_load"
        )
        for candidate in view.candidates
    }
    assert terms.pop(view.choice) == 0.0
    (other,) = terms.values()
    assert 0.045 < other < 0.065
