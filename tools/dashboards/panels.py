"""The kinds of panels that the dashboards have, and how a page is made of them."""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as commons
from grafana_foundation_sdk.models import dashboard as models

WHOLE, HALF, THIRD, QUARTER = 24, 12, 8, 6
"""Widths: a page is 24 wide."""

_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_METRIC: Final = re.compile(r"\b((?:steerd|process)_\w+)(?:\{(.*?)})?")

Panel = TypeVar("Panel", timeseries.Panel, stat.Panel, statetimeline.Panel)
Query = tuple[str, str]
"""An expression, of the instance that is chosen at the top of the page, and what its series are called."""


class Row(NamedTuple):
    """Panels under one heading, from left to right and then down."""

    title: str
    panels: Sequence[Any]


def _of_instance(expression: str) -> str:
    return _METRIC.sub(lambda one: f'{one[1]}{{instance="$instance"{f", {one[2]}" if one[2] else ""}}}', expression)


def _filled(panel: Panel, title: str, told: str, query: Query) -> Panel:
    expression, legend = query
    target = prometheus.Dataquery().expr(_of_instance(expression)).legend_format(legend)
    panel.with_target(target.ref_id("A").datasource(_SOURCE).range())
    return panel.title(title).description(told).datasource(_SOURCE)


def lines(title: str, unit: str, told: str, query: Query, width: int = HALF, stacked: bool = False) -> timeseries.Panel:
    """Values over time."""
    panel = _filled(timeseries.Panel(), title, told, query).unit(unit).span(width).height(8).min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(commons.StackingMode.NORMAL)).fill_opacity(30)
    legend = common.VizLegendOptions().show_legend(True)
    panel.legend(legend.display_mode(commons.LegendDisplayMode.LIST).placement(commons.LegendPlacement.BOTTOM))
    return panel.tooltip(common.VizTooltipOptions().mode(commons.TooltipDisplayMode.MULTI))


def number(title: str, told: str, query: Query, bad_from: float | None = None) -> stat.Panel:
    """A figure as it is now, red from ``bad_from`` on."""
    steps = [models.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(models.Threshold(value=bad_from, color="red"))
    panel = _filled(stat.Panel(), title, told, query).span(QUARTER).height(4).decimals(0)
    panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def states(title: str, told: str, words: Sequence[tuple[str, str]], query: Query, height: int = 8) -> Any:
    """Bars over time. ``words``: what 0, 1, ... mean, and their colours."""
    options = {str(value): models.ValueMappingResult(text, color) for value, (text, color) in enumerate(words)}
    panel = _filled(statetimeline.Panel(), title, told, query).span(WHOLE).height(height)
    return panel.mappings([models.ValueMap(options=options)]).show_value(commons.VisibilityMode.NEVER)


def page(uid: str, title: str, told: str, variables: Mapping[str, str], rows: Sequence[Row]) -> dashboard.Dashboard:
    """``variables``: labels that are chosen at the top, with the query that lists their values: one instance, and any
    of the others."""
    made = dashboard.Dashboard(title).uid(uid).description(told).tags(["steerd"]).timezone("browser").refresh("30s")
    made.time("now-3h", "now").tooltip(models.DashboardCursorSync.CROSSHAIR).editable()
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for name, query in variables.items():
        chosen = dashboard.QueryVariable(name).label(name).query(query).datasource(_SOURCE)
        chosen.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
        several = name != "instance"
        made.with_variable(chosen.multi(several).include_all(several))
    ids = count(1)
    for row in rows:
        made.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            made.with_panel(panel.id(next(ids)))
    return made
