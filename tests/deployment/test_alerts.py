"""The alerts and the dashboard ask for metrics, labels and values that there are."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import promql_parser
import yaml
from promql_parser import Expr, Matcher, MatchOp, VectorSelector

from openapi.server.metrics.families import Families, Type
from tests.support.contract import DOCUMENT, METHODS
from tests.support.project import OPERATIONS, ROOT

ALERTS = ROOT / ".deploy" / "alerts.yaml"
DASHBOARD = ROOT / ".deploy" / "dashboard.json"

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
REGULAR = (MatchOp.Re, MatchOp.NotRe)


def labels_of_series() -> dict[str, dict[str, set[str]]]:
    """The values of each label, by the names that Prometheus knows."""
    ids = [
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    ]
    found: dict[str, dict[str, set[str]]] = {"errand_info": {"version": set()}}
    for family in Families(ids).all:
        values = zip(*family.series, strict=True) if family.labels else ()
        labels = dict(zip(family.labels, map(set, values), strict=True))
        if family.type is Type.HISTOGRAM:
            for suffix in ("_bucket", "_sum", "_count"):
                found[family.name + suffix] = labels
        else:
            found[family.name + ("_total" if family.type is Type.COUNTER else "")] = labels
    return found


def selectors(expression: str) -> Iterator[VectorSelector]:
    """Every selector of an expression."""
    found: list[VectorSelector] = []

    def visit(each: Expr) -> None:
        selector = getattr(each, "vector_selector", each)
        if isinstance(selector, VectorSelector):
            found.append(selector)

    promql_parser.walk(promql_parser.parse(expression), visit)
    assert found, expression
    yield from found


def expressions() -> Iterator[str]:
    """Every expression of the alerts and of the dashboard."""
    for rule in RULES:
        yield rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m")


def finds_something(matcher: Matcher, values: set[str]) -> bool:
    """Whether each value that the matcher names is the value of a series."""
    if matcher.op not in REGULAR:
        return matcher.value in values
    return all(
        any(re.fullmatch(each, value) for value in values) for each in matcher.value.split("|")
    )


def test_expressions_ask_for_what_there_is() -> None:
    known = labels_of_series()
    for expression in expressions():
        for selector in selectors(expression):
            assert selector.name in known, expression
            for matcher in selector.matchers.matchers:
                values = known[selector.name].get(matcher.name, set())
                assert finds_something(matcher, values), (expression, matcher.name)


def test_every_alert_says_what_is_wrong_and_the_page_what_to_do() -> None:
    page = OPERATIONS.read_text()
    for rule in RULES:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert f"| `{rule['alert']}` |" in page, rule["alert"]


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        rows = range(place["y"], place["y"] + place["h"])
        return {(column, row) for column in columns for row in rows}

    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(max(column for column, _ in cells(panel)) < 24 for panel in PANELS)
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other)


def test_dashboard_shows_every_metric() -> None:
    shown = {selector.name for each in expressions() for selector in selectors(each)}
    stems = {re.sub("_(bucket|sum|count|total)$", "", name or "") for name in shown}

    assert {family.name for family in Families([]).all} <= stems
