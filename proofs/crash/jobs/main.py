"""A job whose every process says, with time stamps of its own, from when to when it lived.

It writes to files outside its workspace that the product knows nothing of.
"""

import json
import os
import signal
import sys
import time

given = json.loads(os.environ["MINITOWER_INPUT"])
run = os.environ["MINITOWER_RUN_ID"]
attempt = os.environ["MINITOWER_ATTEMPT"]
TICK = 0.02


def witness():
    """Opens this process's own file; what is returned adds a line with the time to it."""
    path = f"{given['witness']}/{run}.{attempt}.{os.getpid()}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(*words):
        now = str(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        os.write(file, (" ".join([*words, now]) + "\n").encode())

    return note


def daemon():
    """Starts a grandchild in a session of its own that goes on after the job's end."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    note = witness()
    note("begin", "child")
    if not given["holds"]:
        for stream in range(3):
            os.close(stream)
    ends = time.monotonic() + given["linger"] / 1000
    while time.monotonic() < ends:
        note("alive")
        time.sleep(TICK)
    os._exit(0)


def harm_with_a_tree():
    """Leaves a tree that no path reaches to its end, and takes the rights to it away."""
    home = os.open(".", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 50)
        os.chdir("d" * 50)
    os.fchdir(home)
    os.chmod("d" * 50, 0)
    os.close(home)


def harm_with_a_full_disk():
    """Leaves a disk without a free byte."""
    file = os.open("filler", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while True:
            os.write(file, b"x" * 65536)
    except OSError:
        os.close(file)


if given["harm"] == "tree":
    harm_with_a_tree()
if given["harm"] == "disk":
    harm_with_a_full_disk()
if given["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note = witness()
note("begin", "main")
for _ in range(given["children"]):
    daemon()
ticks = max(1, given["ms"] // 20)
printed = 0
for tick in range(1, ticks + 1):
    upto = given["lines"] * tick // ticks
    sys.stdout.write("".join(f"line {run} {attempt} {n}\n" for n in range(printed + 1, upto + 1)))
    printed = upto
    note("alive")
    time.sleep(TICK)
note("end", str(given["code"]), str(printed))
sys.exit(given["code"])
