#!/usr/bin/env python3
"""Checks the Grafana dashboard's form, prints its queries as rules for promtool, or asks them of a running Prometheus.

    check.py                     unique ids, no panels over one another, every panel with title, description, unit and legend
    check.py --rules             the queries as recording rules, for `promtool check rules`
    check.py --prometheus URL    every query has to run there; says which answer with data and which do not
"""

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

DASHBOARD = Path(__file__).resolve().parents[2] / "charts/minitower/files/dashboard.json"
WIDTH = 24
VARIABLES = {"team", "app", "environment", "pool"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's own; the rate interval is four scrapes, the range what the page shows.
BUILT_IN = {"$__rate_interval": "1m", "$__range": "1h"}


def substituted(expression, interval="1m"):
    """As Grafana sends it when every variable says All."""
    for name, value in {**BUILT_IN, "$__rate_interval": interval}.items():
        expression = expression.replace(name, value)
    return re.sub(rf"\$({'|'.join(VARIABLES)})\b", ".*", expression)


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def check_panel(panel):
    for field in ("title", "description"):
        if not panel.get(field, "").strip():
            yield f"it has no {field}"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "it has no unit"
    if panel["datasource"] != SOURCE:
        yield f"its datasource is not the variable: {panel['datasource']}"
    if not panel["targets"]:
        yield "it asks for nothing"
    if panel["type"] == "timeseries" and not panel["options"]["legend"].get("showLegend"):
        yield "it has no legend"
    if panel["type"] == "state-timeline" and not panel["fieldConfig"]["defaults"].get("mappings"):
        yield "it shows states as numbers"
    for target in panel["targets"]:
        if target["datasource"] != SOURCE:
            yield f"the datasource of {target['refId']} is not the variable"
        if not target.get("legendFormat"):
            yield f"{target['refId']} has no legend"
        # `{{label}}` has to survive the aggregation that stands before it.
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            if "by (" in target["expr"] and label not in kept:
                yield f"{target['refId']} shows {label}, which its query drops"
        left = re.findall(r"\$(\w+)", target["expr"])
        for name in set(left) - VARIABLES - {name[1:] for name in BUILT_IN}:
            yield f"{target['refId']} uses ${name}, which is no variable"


def check(dashboard):
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    if names != VARIABLES | {"datasource"}:
        yield f"its variables are {sorted(names)}"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query" and variable["datasource"] != SOURCE:
            yield f"variable {variable['name']}: its datasource is not the variable"
    for annotation in dashboard["annotations"]["list"]:
        if annotation["datasource"] != SOURCE:
            yield f"annotation {annotation['name']}: its datasource is not the variable"
    if dashboard.get("id") is not None:
        yield "it carries the id of a Grafana that it was exported from"
    ids = [panel["id"] for panel in dashboard["panels"]]
    for number in sorted({number for number in ids if ids.count(number) > 1}):
        yield f"two panels have the id {number}"
    taken = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > WIDTH:
            yield f"{panel['title']}: it reaches beyond the {WIDTH}th column"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                over = taken.setdefault((x, y), panel["id"])
                if over != panel["id"]:
                    yield f"{panel['title']}: it lies over panel {over}"
                    break
    for panel in panels(dashboard):
        for problem in check_panel(panel):
            yield f"{panel['title']}: {problem}"


def rules(dashboard):
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for panel in panels(dashboard):
        for target in panel["targets"]:
            lines.append(f"  - record: panel_{panel['id']}_{target['refId']}")
            lines.append(f"    expr: {json.dumps(substituted(target['expr']))}")
    return "\n".join(lines)


def ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error).get("error", error)) from None


def run(dashboard, url):
    """Asks every query; the errors."""
    now = float(ask(url, "query", query="time()")["result"][0])
    empty, total = [], 0
    for panel in panels(dashboard):
        for target in panel["targets"]:
            total += 1
            where = f"{panel['title']} ({target['legendFormat']})"
            try:
                answer = ask(url, "query_range", query=substituted(target["expr"]), start=now - 900, end=now, step=15)
            except ValueError as error:
                yield f"{where}: {error}"
                continue
            values = [float(value) for series in answer["result"] for _, value in series["values"]]
            if all(value != value for value in values):
                empty.append(where)
    print(f"{total} queries ran over the last 15 minutes, {total - len(empty)} of them with data")
    for where in empty:
        print(f"  no data: {where}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rules", action="store_true")
    arguments.add_argument("--prometheus", metavar="URL")
    arguments = arguments.parse_args()
    dashboard = json.loads(DASHBOARD.read_text())
    if arguments.rules:
        print(rules(dashboard))
        return
    problems = list(check(dashboard))
    if arguments.prometheus:
        problems += run(dashboard, arguments.prometheus)
    if problems:
        sys.exit("\n".join(f"dashboard.json: {problem}" for problem in problems))
    print(f"{len(panels(dashboard))} panels are well formed")


if __name__ == "__main__":
    main()
