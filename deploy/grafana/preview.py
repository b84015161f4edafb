#!/usr/bin/env python3
"""Draws the dashboard without Grafana: its own panels and queries, answered by a running Prometheus, drawn with matplotlib.

    preview.py --prometheus URL [--minutes 15] [--rows "Queue,Waits"] OUT.png
"""

import argparse
import json
import math
import re
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
from check import DASHBOARD, ask, substituted
from matplotlib.ticker import FuncFormatter

INK, FAINT = "#24292f", "#d0d7de"
COLORS = ["#3b7dd8", "#e0803a", "#3a9d5d", "#c94f7c", "#8661c1", "#c2a12f", "#2f9fa8", "#8a5a44", "#6e7781", "#d1495b"]
STATUS = {"completed": "#3a9d5d", "failed": "#e0803a", "dead": "#d1495b", "cancelled": "#6e7781"}
BYTES = ["B", "KiB", "MiB", "GiB", "TiB"]


def shown(value, unit):
    if value is None or math.isnan(value):
        return "-"
    value = value or 0.0  # Never "-0".
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        if value == 0 or value >= 60:
            return f"{value / 60:.3g} min" if value else "0 s"
        return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    if unit in ("bytes", "Bps"):
        step = 0
        while value >= 1024 and step < len(BYTES) - 1:
            value, step = value / 1024, step + 1
        return f"{value:.3g} {BYTES[step]}" + ("/s" if unit == "Bps" else "")
    return f"{value:.3g}" + {"ops": " /s", "reqps": " /s"}.get(unit, "")


def legend(series, target):
    return re.sub(r"\{\{(\w+)\}\}", lambda label: series["metric"].get(label[1], ""), target["legendFormat"])


def query(panel, url, start, end, step):
    """(legend, times, values) of everything that the panel shows."""
    for target in panel["targets"]:
        answer = ask(url, "query_range", query=substituted(target["expr"], "1m"), start=start, end=end, step=step)
        for series in answer["result"]:
            have = {int(float(at)): float(value) for at, value in series["values"]}
            grid = range(int(start), int(end) + 1, step)
            yield legend(series, target), list(grid), [have.get(at, math.nan) for at in grid]


def draw_stat(axes, panel, lines):
    axes.axis("off")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["options"]["textMode"] == "name":
        value = lines[-1][0] if lines else "-"
    else:
        value = shown(next((v for v in reversed(lines[-1][2]) if not math.isnan(v)), None), unit) if lines else "-"
    axes.text(0.5, 0.42, value, ha="center", va="center", fontsize=22, color=INK, transform=axes.transAxes)


def draw_heatmap(axes, lines):
    bounds = sorted(lines, key=lambda line: float(line[0].replace("+Inf", "inf")))
    rows, below = [], None
    for _, _, values in bounds:
        clean = [0 if math.isnan(v) else v for v in values]
        rows.append(clean if below is None else [max(0, a - b) for a, b in zip(clean, below)])
        below = clean
    times = [at / 86400 for at in bounds[0][1]]
    axes.pcolormesh(times, range(len(rows)), rows, cmap="Oranges", shading="nearest")
    axes.set_yticks(range(len(rows)), [f"≤ {shown(float(b[0].replace('+Inf', 'inf')), 's')}" if b[0] != "+Inf" else "longer" for b in bounds], fontsize=6)


def draw_series(axes, panel, lines):
    custom = panel["fieldConfig"]["defaults"]["custom"]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = custom["stacking"]["mode"] == "normal"
    bars = custom["drawStyle"] == "bars"
    floor = None
    for number, (name, times, values) in enumerate(lines):
        color = STATUS.get(name, COLORS[number % len(COLORS)])
        at = [t / 86400 for t in times]
        last = next((v for v in reversed(values) if not math.isnan(v)), math.nan)
        label = f"{name}  {shown(last, unit)}"
        if bars:
            clean = [0 if math.isnan(v) else v for v in values]
            axes.bar(at, clean, width=(at[1] - at[0]), bottom=floor, color=color, alpha=0.75, label=label)
            if stacked:
                floor = [a + b for a, b in zip(floor or [0] * len(clean), clean)]
        elif stacked:
            clean = [0 if math.isnan(v) else v for v in values]
            top = [a + b for a, b in zip(floor or [0] * len(clean), clean)]
            axes.fill_between(at, floor or [0] * len(top), top, color=color, alpha=0.45, linewidth=0, label=label)
            axes.plot(at, top, color=color, linewidth=1)
            floor = top
        else:
            axes.plot(at, values, color=color, linewidth=1.4, label=label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    if "min" in panel["fieldConfig"]["defaults"]:
        axes.set_ylim(bottom=0)
    if "max" in panel["fieldConfig"]["defaults"]:
        axes.set_ylim(0, 1.05)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=7, frameon=False, labelcolor=INK)


def draw_states(axes, panel, lines):
    overrides = panel["fieldConfig"]["overrides"]
    for row, (name, times, values) in enumerate(lines):
        color = panel["fieldConfig"]["defaults"]["color"]["fixedColor"]
        for override in overrides:
            if re.search(override["matcher"]["options"].strip("/"), name):
                color = override["properties"][0]["value"]["fixedColor"]
        width = (times[1] - times[0]) / 86400
        spans = [(at / 86400, width) for at, value in zip(times, values) if not math.isnan(value)]
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=f"tab:{color}", alpha=0.7)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=7)
    axes.invert_yaxis()


def draw(axes, panel, url, start, end, step):
    axes.set_title(panel["title"], fontsize=9, loc="left", color=INK, fontweight="bold")
    lines = list(query(panel, url, start, end, step))
    if panel["type"] == "stat":
        draw_stat(axes, panel, lines)
        return
    if not lines:
        axes.axis("off")
        axes.text(0.5, 0.5, "No data", ha="center", color="#6e7781", transform=axes.transAxes)
        return
    if panel["type"] == "heatmap":
        draw_heatmap(axes, lines)
    elif panel["type"] == "state-timeline":
        draw_states(axes, panel, lines)
    else:
        draw_series(axes, panel, lines)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=5))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.set_xlim(start / 86400, end / 86400)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.tick_params(labelsize=7, colors="#57606a", length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--prometheus", metavar="URL", required=True)
    arguments.add_argument("--minutes", type=int, default=15)
    arguments.add_argument("--rows", help="comma-separated titles of the rows to draw; default: all")
    arguments.add_argument("out")
    arguments = arguments.parse_args()
    wanted, rows = arguments.rows and arguments.rows.split(","), []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    rows = [row for row in rows if not wanted or row[0] in wanted]
    if not rows:
        raise SystemExit(f"no row is called {arguments.rows}")

    strips = []
    for title, members in rows:
        for number, y in enumerate(sorted({panel["gridPos"]["y"] for panel in members})):
            strips.append((title if number == 0 else "", [panel for panel in members if panel["gridPos"]["y"] == y]))
    heights = [1.1 if strip[1][0]["type"] == "stat" else 3.0 for strip in strips]
    figure = plt.figure(figsize=(15, sum(heights) + 0.3), layout="constrained", facecolor="white")
    end = math.floor(time.time())
    start = end - arguments.minutes * 60
    for part, (title, members) in zip(figure.subfigures(len(strips), 1, height_ratios=heights, squeeze=False)[:, 0], strips):
        if title:
            part.suptitle(title, x=0.005, ha="left", fontsize=12, color="#0969da")
        for place, panel in enumerate(members):
            draw(part.add_subplot(1, len(members), place + 1), panel, arguments.prometheus, start, end, 15)
    figure.savefig(arguments.out, dpi=85)


if __name__ == "__main__":
    main()
