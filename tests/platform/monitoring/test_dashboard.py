"""`deploy/grafana/counterpoint.json`: Grafana's JSON model, and metrics that exist."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pytest
from prometheus_client.core import Metric
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel
from pytest_django import Settings

from counterpoint.monitoring import collector

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "counterpoint.json"
METRIC = re.compile(r"\bcounterpoint_\w+")
GRID = 24  # columns


class Strict(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)


class Position(Strict):
    h: int = Field(gt=0)
    w: int = Field(gt=0, le=GRID)
    x: int = Field(ge=0, lt=GRID)
    y: int = Field(ge=0)


class Source(Strict):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class Target(Strict):
    datasource: Source
    expr: str = Field(min_length=1)
    ref_id: str = Field(pattern="^[A-Z]$")


class Panel(Strict):
    id: int
    type: Literal["timeseries", "stat"]
    title: str = Field(min_length=1)
    grid_pos: Position
    datasource: Source
    targets: list[Target] = Field(min_length=1)
    field_config: dict[str, Any]
    options: dict[str, Any]


class Row(Strict):
    id: int
    type: Literal["row"]
    title: str
    grid_pos: Position
    panels: list[Any] = Field(max_length=0)


class Variable(Strict):
    name: str
    type: Literal["datasource", "query"]


class Variables(Strict):
    list: list[Variable]


class Dashboard(Strict):
    """What Grafana's JSON model asks for (grafana.com/docs, "JSON model"), of what is used."""

    uid: str = Field(max_length=40)
    id: None
    title: str
    schema_version: int = Field(ge=36)
    time: dict[str, str]
    templating: Variables
    panels: list[Panel | Row]


@pytest.fixture(scope="module")
def dashboard() -> Dashboard:
    return TypeAdapter(Dashboard).validate_json(DASHBOARD.read_text())


@pytest.fixture
def metrics(db: None, settings: Settings) -> dict[str, Metric]:
    """Every metric that there can be, by its family's name."""
    settings.QUEUES = ()
    return {metric.name: metric for metric in collector.Everything().collect()}


def sample_names(metric: Metric) -> set[str]:
    if metric.type == "histogram":
        return {f"{metric.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name}


def test_every_metric_that_it_names_is_one_of_the_endpoints(metrics: dict[str, Metric]) -> None:
    known = {name for metric in metrics.values() for name in sample_names(metric)}
    named = set(METRIC.findall(DASHBOARD.read_text()))

    assert named
    assert named <= known


def test_it_shows_every_metric(metrics: dict[str, Metric]) -> None:
    text = DASHBOARD.read_text()

    assert [name for name in metrics if name not in text] == []


def test_it_filters_by_labels_that_the_metrics_have(
    dashboard: Dashboard, metrics: dict[str, Metric]
) -> None:
    labels = {
        name: set(getattr(metric, "_labelnames", ())) | {"le"}
        for metric in metrics.values()
        for name in sample_names(metric)
    }
    for panel in dashboard.panels:
        for target in getattr(panel, "targets", []):
            for name, selector in re.findall(r"(counterpoint_\w+)\{([^}]*)\}", target.expr):
                assert set(re.findall(r"(\w+)[=!]", selector)) <= labels[name], target.expr


def test_panels_have_their_own_ids_and_places(dashboard: Dashboard) -> None:
    ids = [panel.id for panel in dashboard.panels]
    assert len(ids) == len(set(ids))
    for one, other in combinations([panel.grid_pos for panel in dashboard.panels], 2):
        apart = (
            one.x + one.w <= other.x
            or other.x + other.w <= one.x
            or one.y + one.h <= other.y
            or other.y + other.h <= one.y
        )
        assert apart, (one, other)
    assert all(panel.grid_pos.x + panel.grid_pos.w <= GRID for panel in dashboard.panels)


def test_every_variable_that_is_used_is_declared(dashboard: Dashboard) -> None:
    used = set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text()))
    declared = {variable.name for variable in dashboard.templating.list}

    assert used == declared
    assert json.loads(DASHBOARD.read_text())["refresh"]
