"""From settings to the rule they ask for."""

from steerd.core.rules.panel import Panel, members
from steerd.core.rules.threshold import Threshold
from steerd.core.rules.work_function import WorkFunction
from steerd.core.settings import PanelSettings, Settings, ThresholdSettings

Rule = Panel | Threshold
"""What decides when nothing forces a choice."""


def rule_of(settings: Settings) -> Rule:
    """The rule that the settings ask for, with nothing learned yet."""
    rule = settings.rule
    if isinstance(rule, ThresholdSettings):
        return Threshold(rule, settings.ignore_below)
    if isinstance(rule, PanelSettings):
        every = members(rule.price, settings.ignore_below)
        only = [one for one in every if one.name == rule.only] if rule.only else every
        return Panel(only, rule.price, settings.ignore_below)
    return Panel([WorkFunction(rule.price)], rule.price, settings.ignore_below)
