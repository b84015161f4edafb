#!/usr/bin/env python3
"""Keeps the reference in step with the programs.

Writes docs/reference/cli.md from the command line's own help texts. Compares the tables of docs/reference/configuration.md with the
variables, flags and defaults that the programs' help texts name, and the routes of docs/reference/api.md with the server's. With --check it
writes nothing, and fails if cli.md would change. Needs the programs in the target folder: make build.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
CLI = ROOT / "docs/reference/cli.md"
CONFIGURATION = ROOT / "docs/reference/configuration.md"
API = ROOT / "docs/reference/api.md"
METHODS = ("get", "post", "put", "patch", "delete")
# Variables that no help text names: older names, secrets without a flag, and what other programs define.
UNNAMED = {
    "minitower-runner": {"MINITOWER_REGISTRATION_TOKEN", "MINITOWER_REGISTRATION_TOKEN_FILE"},
    "minitower": {"MINITOWER_CLI_CONFIG", "NO_COLOR"},
}
# Headings of option groups that every command repeats; they are written once.
SHARED = ("Connection:", "Output:")

INTRODUCTION = """\
# Command line

The command line is the program `minitower`. This page is written by `scripts/reference_docs.py` from the
program's own help texts; `minitower help COMMAND` shows the same in your terminal.

- **Server and token** come from flags, then from variables, then from the active profile. See
  [Configuration](configuration.md#command-line-minitower).
- **JSON**: every command accepts `--json`. Standard output then holds the answer alone. Warnings and
  the error are objects on standard error, one on each line: `{"warning": …}` and `{"error":
  {"message": …, "exit_code": …, "meaning": …, "help": …, "code": …, "status": …}}`. `meaning` is
  `not_allowed`, `not_found`, `conflict`, `gone`, `server_unreachable` or `failed`.
- **Text from others**: what could control your terminal is shown as text, such as `\\x1b[2J`. Log
  lines keep their colours. A log in a pipe or a file is as the job wrote it.
- **Times** are in the zone of your machine (`TZ`), with their difference from UTC; `--utc` shows UTC.
- **Safety**: a profile file that other users may read is refused. A token that would travel over
  http to another machine is warned of, unless `--insecure-http` is passed, or remembered with
  `minitower config set --insecure-http`.
- **As a kubectl plugin**: link the program as `kubectl-minitower`. See
  [Kubernetes](../how-to/kubernetes.md#use-the-command-line-as-a-kubectl-plugin).
"""


def help_of(program, *command):
    """The help text of a program or of one of its commands, the same on every machine."""
    if not (PROGRAMS / program).exists():
        sys.exit(f"reference_docs: {PROGRAMS / program} is not built: run `make build` first")
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "100"}
    said = subprocess.run([PROGRAMS / program, *command, "--help"], capture_output=True, text=True, env=clean, check=True)
    return "\n".join(line.rstrip() for line in said.stdout.splitlines()).strip() + "\n"


def commands(text):
    """The names below `Commands:`."""
    listed = re.search(r"^Commands:\n((?:  .*\n|\n)+)", text, re.M)
    return [name for name in re.findall(r"^  ([a-z-]+)", listed[1], re.M) if name != "help"] if listed else []


def without_shared(text):
    """The help text without the option groups that every command repeats."""
    for heading in SHARED:
        text = re.sub(rf"^{heading}\n(?:[ ].*\n|\n)*", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cli_page():
    top = help_of("minitower")
    parts = [INTRODUCTION, f"## minitower\n\n```text\n{top.strip()}\n```\n"]

    def add(path):
        text = help_of("minitower", *path)
        parts.append(f"{'#' * (len(path) + 1)} minitower {' '.join(path)}\n\n```text\n{without_shared(text)}\n```\n")
        for name in commands(text):
            add([*path, name])

    for name in commands(top):
        add([name])
    return "\n".join(parts)


def settings(program):
    """Variable to (flag, default) of one program, as its help text has them."""
    found = {}
    text = help_of(program)
    for option in re.split(r"\n(?=\s+(?:-\w, )?--[a-z])", text):
        flag = re.search(r"--[a-z-]+", option)
        variable = re.search(r"\[env:\s+([A-Z_]+)", option)
        default = re.search(r"\[default:\s+([^\]]+)\]", option)
        if variable and flag:
            found[variable[1]] = (flag[0], " ".join(default[1].split()) if default else None)
    for variable in re.findall(r"\bMINITOWER_[A-Z_]+", text):
        found.setdefault(variable, (None, None))
    return found


def documented(program):
    """The rows of the program's section, by the variable in their first cell."""
    section = re.search(rf"^## [^\n]*`{program}`\n(.*?)(?=^## |\Z)", CONFIGURATION.read_text(), re.M | re.S)
    return {row[1]: row[0] for row in re.finditer(r"^\| `([A-Z_]+)` \|.*$", section[1], re.M)}, section[1]


def compare(program):
    problems = []
    where = f"docs/reference/configuration.md, {program}"
    known = settings(program)
    rows, section = documented(program)
    for variable, (flag, default) in sorted(known.items()):
        row = rows.get(variable)
        if not row:
            problems.append(f"{where}: {variable} is missing")
            continue
        derived = "--" + variable.removeprefix("MINITOWER_").lower().replace("_", "-")
        if flag and flag != derived and f"`{flag}`" not in row:
            problems.append(f"{where}: the row of {variable} does not name its flag {flag}")
        if default and default not in row and default.split(",")[0] not in row:
            problems.append(f"{where}: the row of {variable} does not say that its default is {default}")
    for variable in set(rows) - set(known) - UNNAMED.get(program, set()):
        problems.append(f"{where}: the program does not know {variable}")
    for variable in UNNAMED.get(program, set()):
        if f"`{variable}`" not in section:
            problems.append(f"{where}: {variable} is missing")
    return problems


def served():
    """Each route of the server as `METHOD /path`: from its OpenAPI description, else from the table of its router."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*openapi.json", "server/*routes.rs"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.splitlines()]
    found = set()
    for file in [file for file in files if file.name == "openapi.json"] or files:
        if file.name == "openapi.json":
            paths = json.loads(file.read_text())["paths"]
            found |= {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if method in METHODS}
        else:
            rows = re.findall(rf'\b({"|".join(METHODS)})\(\s*"(/[^"]*)"', file.read_text())
            found |= {f"{method.upper()} {path}" for method, path in rows}
    return {route.replace("{*", "{") for route in found}


def compare_routes():
    described = set(re.findall(rf"^\| `((?:{'|'.join(METHODS).upper()}) /[^`]*)` \|", API.read_text(), re.M))
    routes = served()
    problems = [f"docs/reference/api.md: {route} is missing" for route in sorted(routes - described)]
    problems += [f"docs/reference/api.md: the server has no {route}" for route in sorted(described - routes)]
    return problems if routes else ["docs/reference/api.md: no table of the server's routes was found to compare it with"]


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: scripts/reference_docs.py [--check]")
    problems = [problem for program in ("minitowerd", "minitower-runner", "minitower-operator", "minitower") for problem in compare(program)]
    problems += compare_routes()
    page = cli_page()
    if not CLI.exists() or CLI.read_text() != page:
        if check:
            problems.append("docs/reference/cli.md differs from the program's help texts: run scripts/reference_docs.py and commit the result")
        else:
            CLI.write_text(page)
            print("reference_docs: wrote docs/reference/cli.md")
    if problems:
        sys.exit("\n".join(problems))
    print("reference_docs: commands, flags, variables, defaults and routes are as the programs have them")


if __name__ == "__main__":
    main()
