#!/usr/bin/env python3
"""Checks every link in the repository's Markdown files: the file exists, and so does the heading that the link names.

Other files (sources, manifests, scripts) are searched for paths such as docs/how-to/alerts.md#minitowerdown, and checked the same way.
Links to other sites are not followed, except for links to this repository's own files on GitHub, which are checked like paths.
"""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GITHUB = re.compile(r"https://github\.com/minitower/minitower/(?:blob|tree)/main/")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
MENTION = re.compile(r"(?<![\w/.-])((?:docs|benches|charts|deploy|tests|examples|migrations)/[\w./-]+\.md)(#[\w-]+)?")
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.M | re.S)
# Snapshots repeat what the chart's own files say; the change log names files as they were called at the time.
LEFT_OUT = re.compile(r"(^|/)(snapshots|target|node_modules)/|^Cargo\.lock$|^migrations/.*\.sql$")


@cache
def anchors(path):
    """The anchors that GitHub gives to the headings of a Markdown file."""
    found, seen = set(), {}
    for line in CODE.sub("", path.read_text()).splitlines():
        heading = re.match(r"#{1,6} +(.*)", line)
        if not heading:
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        name = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def fault(base, target):
    """What is wrong with a link from a file in folder `base`, or None."""
    target, _, anchor = target.partition("#")
    path = (base / target).resolve() if target else base
    if not path.exists():
        return f"{target} does not exist"
    if not path.is_relative_to(ROOT):
        return f"{target} leads out of the repository"
    if anchor and path.suffix == ".md" and anchor not in anchors(path):
        return f"{path.relative_to(ROOT)} has no heading #{anchor}"
    return None


def links(path, text):
    """Each link of a file, with the folder that it is relative to."""
    if path.suffix == ".md":
        for match in LINK.finditer(CODE.sub("", text)):
            target = match[1]
            if target.startswith("#"):
                yield path, target
            elif not re.match(r"[a-z]+:", target):
                yield path.parent, target
    for match in re.finditer(GITHUB.pattern + r"([\w./#-]+)", text):
        yield ROOT, match[1]
    if path.suffix not in {".md", ".gotmpl"}:
        for match in MENTION.finditer(GITHUB.sub("", text)):
            yield ROOT, match[1] + (match[2] or "")


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    problems, count = [], 0
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if LEFT_OUT.search(name) or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for base, target in links(path, text):
            count += 1
            problem = fault(base, target)
            if problem:
                problems.append(f"{name}: {problem}")
    if problems:
        sys.exit("\n".join(dict.fromkeys(problems)))
    print(f"links: {count} links lead to files and headings that exist")


if __name__ == "__main__":
    main()
