#!/usr/bin/env python3
"""Compares what the alerts and the dashboard ask for with what the programs export.

Known is what the sources register; the tables of docs/reference/metrics.md have to say the same, and so has a running program's answer,
given as `--scrape URL`. A metric, label, label value, alert or runbook that one side does not know is an error.
"""

import argparse
import json
import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "charts/minitower/files/alerts.yaml"
DASHBOARD = ROOT / "charts/minitower/files/dashboard.json"
METRICS = ROOT / "docs/reference/metrics.md"
ALERT_GUIDE = ROOT / "docs/how-to/alerts.md"
SCRAPING = ROOT / "deploy/prometheus/prometheus.yml"
MONITOR = ROOT / "charts/minitower/templates/monitoring/servicemonitor.yaml"
RUNBOOKS = "https://github.com/minitower/minitower/blob/main/docs/how-to/alerts.md#"
# Where metrics are registered.
SOURCES = ["server/runs/src/metrics.rs", "server/notifications/src/metrics.rs", "server/kernel/src/metrics.rs", "server/minitowerd/src/backup/scheduled.rs", "server/doors/rest/src/metrics.rs", "operator/src/metrics.rs"]
# What Prometheus, the kubelet and the rules themselves add to a series.
ADDED = {"job", "instance", "namespace", "le", "persistentvolumeclaim", "alertname", "alertstate", "severity"}

NAME = r"minitower_[a-z0-9_]+"
MATCHERS = r'\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}'
SELECTOR = re.compile(rf"\b({NAME}|ALERTS|up)(?:{MATCHERS})?")
MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
GROUPED = re.compile(rf"by\s*\(([^)]*)\)\s*\((?:\w+\(|\s)*({NAME})")
LISTED = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")

problems: list[str] = []


def problem(where, text):
    problems.append(f"{where}: {text}")


def labels_of(text):
    return set(re.findall(r'"([a-z_]+)"', text))


def exported():
    """Names and labels as the sources register them."""
    known = {}
    for source in SOURCES:
        text = (ROOT / source).read_text().split("#[cfg(test)]")[0]
        found = list(re.finditer(rf'"({NAME})"', text))
        shared = re.search(r'fn histogram\(.*?&\[("[^\]]*)\]', text, re.S)
        for here, after in zip(found, found[1:] + [None]):
            between = text[here.end() : after.start() if after else len(text)]
            statement = re.split(r"\?;|\?,|\)\?\n", between)[0]
            listed = re.search(r"&\[([^\]]*)\]", statement)
            variable = re.findall(r"let labels = \[([^\]]*)\]", text[: here.start()] + between)
            if listed:
                labels = labels_of(listed[1])
            elif "&labels" in statement:
                labels = labels_of(variable[-1])
            elif shared and re.search(r"\bhistogram\(\s*&registry,\s*$", text[: here.start()]):
                labels = labels_of(shared[1])
            else:
                labels = set()
            known[here[1]] = labels
    return known


def documented():
    """Name, type and labels from the tables of the documentation."""
    rows = {}
    for line in METRICS.read_text().splitlines():
        row = re.match(rf"\| `({NAME})` \| (counter|gauge|histogram) \|([^|]*)\|", line)
        if row:
            rows[row[1]] = (row[2], set(re.findall(r"`([a-z_]+)`", row[3])))
    return rows


def family(name, known):
    for candidate in (name, re.sub(r"_(bucket|sum|count)$", "", name)):
        if candidate in known:
            return candidate
    return None


def alternatives(operator, value):
    """The plain words among what a matcher allows or forbids."""
    if operator in ("=~", "!~"):
        value = re.sub(r"\[([^\]])\]", r"\1", value)
        return [word for word in value.split("|") if re.fullmatch(r"[a-zA-Z/_{}0-9-]+", word)]
    return [value] if value else []


def expressions():
    """Where each PromQL expression stands, and what it is."""
    rules = re.sub(r"(?m)^\s*#.*$", "", ALERTS.read_text())
    for rule in re.split(r"(?m)^  - (?=alert:|record:)", rules)[1:]:
        name = rule.split("\n")[0]
        yield f"alerts.yaml, {name}", re.split(r"(?m)^    (?:for|labels|annotations):", rule)[0], rule
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield f"dashboard.json, {panel['title']}", target["expr"], target["legendFormat"]
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            yield f"dashboard.json, variable {variable['name']}", variable["query"]["query"], ""


def check_expression(where, text, shown, known, recorded, alerts, words):
    for name, matchers in SELECTOR.findall(text):
        metric = family(name, known)
        if name.startswith("minitower_") and not metric:
            problem(where, f"no program exports {name}")
            continue
        for label, operator, value in MATCHER.findall(matchers):
            if metric and label not in known[metric] | ADDED:
                problem(where, f"{metric} has no label {label}")
            for word in alternatives(operator, value):
                if name == "ALERTS" and label == "alertname" and word not in alerts:
                    problem(where, f"there is no alert {word}")
                if metric and word not in words:
                    problem(where, f"the sources never say {word!r}, which {label} of {metric} is compared with")
    for name in re.findall(r"\bminitower:[a-z0-9_:]+", text):
        if name not in recorded:
            problem(where, f"no rule records {name}")
    for listed, name in GROUPED.findall(text):
        metric = family(name, known)
        for label in re.findall(r"\w+", listed):
            if metric and label not in known[metric] | ADDED:
                problem(where, f"{metric} has no label {label}")
    every = set().union(ADDED, *known.values())
    for label in re.findall(r"\w+", " ".join(LISTED.findall(text))):
        if label not in every:
            problem(where, f"no metric has a label {label}")
    # Grafana writes {{label}}, a rule {{ $labels.label }}.
    for label in re.findall(r"\{\{(\w+)\}\}|\$labels\.(\w+)", shown):
        label = "".join(label)
        if label not in every:
            problem(where, f"no metric has the label {label} that is shown")


def check_alerts(tests):
    """Every alert says what it means, has its runbook, and is tested."""
    text = ALERTS.read_text()
    alerts = re.findall(r"(?m)^  - alert: (\w+)$", text)
    for rule in re.split(r"(?m)^  - (?=alert:|record:)", text)[1:]:
        name = re.match(r"alert: (\w+)", rule)
        if not name:
            continue
        name = name[1]
        if not re.search(r"severity: (critical|warning)\b", rule):
            problem(name, "its severity is neither critical nor warning")
        for annotation in ("summary", "description"):
            if not re.search(rf"\n      {annotation}: \S", rule):
                problem(name, f"it has no {annotation}")
        if f"runbook_url: {RUNBOOKS}{name.lower()}\n" not in rule + "\n":
            problem(name, f"its runbook_url is not {RUNBOOKS}{name.lower()}")
        if not re.search(rf"- alertname: {name}\b", tests):
            problem(name, "its text is not tested")
        if f'alertname="{name}"' not in tests:
            problem(name, "that it fires is not tested")
    headings = re.findall(r"(?m)^### (MiniTower\w+)$", ALERT_GUIDE.read_text())
    for name in sorted(set(alerts) ^ set(headings)):
        problem(name, "an alert without a runbook in docs/how-to/alerts.md, or a runbook without an alert")
    for name in {name for name in alerts if alerts.count(name) > 1}:
        problem(name, "two alerts of one name")
    jobs = set(re.findall(r'job=~"([^"]+)"', text))
    for job in jobs:
        if SCRAPING.exists() and not any(re.fullmatch(job, name) for name in re.findall(r"job_name: ['\"]?([\w-]+)", SCRAPING.read_text())):
            problem("deploy/prometheus/prometheus.yml", f"it has no job {job}, which the alerts ask for")
    if not jobs:
        problem("MiniTowerDown", "no alert asks for a job")
    if MONITOR.exists() and "honorLabels: true" not in MONITOR.read_text():
        problem(MONITOR.name, "without honorLabels: true the namespace of a pool becomes exported_namespace, which no alert knows")
    return set(alerts)


def check_scrape(url, known, rows):
    """What a running program exports is what is documented, with these labels and this type."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for name, kind in re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text):
        if name not in rows:
            problem(url, f"{name} is not documented")
        elif rows[name][0] != kind:
            problem(url, f"{name} is a {kind}, documented as {rows[name][0]}")
    samples = re.findall(r"(?m)^([a-z_]+)(?:\{(.*)\})? \S+$", text)
    if not samples:
        problem(url, "it exports nothing")
    for name, labels in samples:
        metric = family(name, known)
        have = {label for label, _, _ in MATCHER.findall(labels)} - {"le"}
        if metric and have != known[metric]:
            problem(url, f"{metric} has the labels {sorted(have)}, not {sorted(known[metric])}")
    return len({family(name, known) for name, _ in samples})


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--scrape", metavar="URL", action="append", default=[], help="a running program to compare as well")
    arguments = arguments.parse_args()

    known, rows = exported(), documented()
    for name in sorted(set(known) | set(rows)):
        if name not in rows:
            problem("docs/reference/metrics.md", f"{name} is missing in its tables")
        elif name not in known:
            problem("docs/reference/metrics.md", f"no program exports {name}")
        elif rows[name][1] != known[name]:
            problem("docs/reference/metrics.md", f"{name} has the labels {sorted(known[name])}, not {sorted(rows[name][1])}")
    rust = [*ROOT.glob("crates/vocabulary/src/*.rs"), *ROOT.glob("server/**/src/**/*.rs"), *ROOT.glob("operator/src/**/*.rs")]
    words = set(re.findall(r'"([^"\\\n]+)"', "\n".join(path.read_text() for path in rust)))
    tests = "\n".join(path.read_text() for path in sorted(ROOT.glob("deploy/prometheus/*_test.yaml")))
    alerts = check_alerts(tests)
    recorded = set(re.findall(r"(?m)^  - record: (\S+)$", ALERTS.read_text()))
    asked = list(expressions())
    for where, text, shown in asked:
        check_expression(where, text, shown, known, recorded, alerts, words)
    for url in arguments.scrape:
        print(f"{url}: {check_scrape(url, known, rows)} of {len(known)} metrics are there")
    if problems:
        sys.exit("\n".join(dict.fromkeys(problems)))
    print(f"{len(known)} metrics, {len(alerts)} alerts, {len(asked)} expressions agree")


if __name__ == "__main__":
    main()
