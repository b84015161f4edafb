#!/usr/bin/env python3
"""Draws docs/images/session.svg: a real terminal session with MiniTower, as the README shows it.

Starts `minitower dev` in a temporary folder, types the commands below, and draws what they print. Needs the programs in the target
folder: make build. Run it again when the output of one of these commands has changed.
"""

import html
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "debug"
PICTURE = ROOT / "docs/images/session.svg"
COMMANDS = [
    "cat main.py",
    "minitower init",
    "minitower deploy",
    "minitower run hello -p name=you",
    "minitower runs list",
]
SCRIPT = 'import os\nprint("hello,", os.environ.get("name", "world"))\n'
# Seconds that the server may take to start, and a command to end.
DEADLINE = 60

WIDTH_CHARS, LINE, MARGIN, BAR = 92, 20, 20, 36
STYLE = """\
  .screen { fill: #16181d } .bar { fill: #262a33 } .text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d7dae0; white-space: pre }
  .prompt { fill: #7fd88f } .command { fill: #ffffff; font-weight: bold }"""


def start(folder, environment):
    """Starts `minitower dev` and returns its process once it serves."""
    server = subprocess.Popen(
        [PROGRAMS / "minitower", "dev", "--json", "--listen", "127.0.0.1:0", "--data-dir", folder / "data"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
    )
    ready, _, _ = select.select([server.stdout], [], [], DEADLINE)
    welcome = json.loads(server.stdout.readline()) if ready else {}
    if not welcome.get("profile"):
        server.terminate()
        sys.exit("session: minitower dev did not start")
    return server, welcome["profile"]


def wait_for_runner(environment):
    """Returns once the runner can take a run."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        said = subprocess.run([PROGRAMS / "minitower", "runners", "list", "--json"], capture_output=True, text=True, env=environment)
        if re.search(r'"status": ?"online"', said.stdout):
            return
        time.sleep(0.1)
    sys.exit("session: the runner did not come online")


def record(folder, environment):
    """What the commands print, as (is a command, text) line by line."""
    lines = []
    for command in COMMANDS:
        lines.append((True, command))
        said = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
        if said.returncode != 0:
            sys.exit(f"session: {command} ended with {said.returncode}:\n{said.stdout}")
        text = re.sub(r"\x1b\[[0-9;]*m", "", said.stdout)
        lines += [(False, line.rstrip()) for line in text.rstrip("\n").split("\n")]
    return lines


def draw(lines):
    width = WIDTH_CHARS * 8.43 + 2 * MARGIN
    height = BAR + len(lines) * LINE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" role="img">',
        "<title>A terminal session with MiniTower: deploy a folder, run it, read its log</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="screen" width="100%" height="100%" rx="8"/><path class="bar" d="M0 8a8 8 0 0 1 8-8h{width - 16:.0f}a8 8 0 0 1 8 8v{BAR - 8}H0z"/>',
        *(f'<circle cx="{22 + 20 * n}" cy="{BAR // 2}" r="6" fill="{colour}"/>' for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))),
    ]
    for number, (is_command, text) in enumerate(lines):
        y = BAR + MARGIN + number * LINE + 12
        shown = html.escape(text[:WIDTH_CHARS])
        if is_command:
            shown = f'<tspan class="prompt">$ </tspan><tspan class="command">{shown}</tspan>'
        parts.append(f'<text class="text" x="{MARGIN}" y="{y}" xml:space="preserve">{shown}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main():
    work = Path(tempfile.mkdtemp())
    environment = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(work), "MINITOWER_CLI_CONFIG": str(work / "profiles.json"),
                   "TERM": "dumb", "LANG": "C.UTF-8"}
    for name in ("PYENV_ROOT", "UV_CACHE_DIR"):
        if name in os.environ:
            environment[name] = os.environ[name]
    project = work / "hello"
    project.mkdir()
    (project / "main.py").write_text(SCRIPT)
    server, profile = start(work, environment)
    try:
        subprocess.run([PROGRAMS / "minitower", "config", "use", profile], env=environment, check=True, capture_output=True)
        wait_for_runner(environment)
        lines = record(project, environment)
    finally:
        server.terminate()
        server.wait(DEADLINE)
        shutil.rmtree(work, ignore_errors=True)
    PICTURE.write_text(draw(lines))
    print(f"session: wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
