"""A server of its own, with a team and one of everything that paths and credentials name."""

import contextlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

BOOTSTRAP, REGISTRATION, OPERATOR = "bootstrap-of-the-fuzzing", "registration-of-the-fuzzing", "operator-of-the-fuzzing"
TOWERFILE = '[app]\nname = "fuzzed"\nscript = "main.py"\napi = true\n'
ARTIFACT = "report.txt"
SLUG, PASSWORD = "fuzzers", "correct horse battery staple"


class Bed:
    """The server, and how to reach what is in it."""

    def __init__(self, url, secrets=None):
        self.url = url
        self.admin, self.registration, self.holder = secrets or (None, None, None)
        self.enders = 0
        self.notification = None

    def ask(self, method, path, token="", body=None, headers=None):
        """Calls the API; raises unless the call succeeds."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, {"Authorization": f"Bearer {token}", **(headers or {})}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def furnish(self):
        """Makes the team and its things. Returns the credential of each role, and the lease that the attempt has."""
        team = self.ask("POST", "/bootstrap/team", BOOTSTRAP, {"slug": SLUG, "name": "Fuzzers", "password": PASSWORD})
        self.admin, self.registration = team["token"], team["registration_token"]
        member = self.ask("POST", "/tokens", self.admin, {"role": "member"})["token"]
        self.ask("POST", "/apps", self.admin, {"slug": "fuzzed"})
        self.ask("PUT", "/environments/default/secrets/WORD", self.admin, {"value": "a good word"})
        self.ask("POST", "/apps/fuzzed/versions", self.admin, form("artifact", archive()), {"Content-Type": "multipart/form-data; boundary=XX"})
        self.holder = self.register("holder", "leased")
        lease = self.lease()
        poller = self.register("poller")
        self.ask("POST", "/apps/fuzzed/runs", self.admin)
        tokens = {
            "public": None,
            "bootstrap": BOOTSTRAP,
            "registration": self.registration,
            "admin": self.admin,
            "member": member,
            "attempt": lease["api_token"],
            "operator": OPERATOR,
            "runner": poller,
            "lease holder": self.holder,
        }
        return tokens, lease

    def register(self, name, environment="default"):
        return self.ask("POST", "/runners/register", self.registration, {"name": name, "environment": environment})["token"]

    def lease(self):
        """A new run, leased and started, with an artifact."""
        self.ask("POST", "/apps/fuzzed/runs", self.admin, {"environment": "leased", "priority": 1000})
        lease = self.ask("POST", "/runs/lease?wait=10", self.holder)
        self.ask("POST", f"/runs/{lease['run_id']}/start", self.holder, None, {"X-Lease-Token": lease["lease_token"]})
        self.leave_artifact(lease)
        return lease

    def leave_artifact(self, lease):
        path = f"/runs/{lease['run_id']}/artifacts/{ARTIFACT}"
        self.ask("PUT", path, self.holder, b"content", {"X-Lease-Token": lease["lease_token"]})

    def held(self, instance):
        """The name of a new runner whose process `instance` holds a run."""
        self.enders += 1
        name = f"ender-{os.getpid()}-{self.enders}"
        token = self.register(name, name)
        self.ask("POST", "/apps/fuzzed/runs", self.admin, {"environment": name})
        self.ask("POST", "/runs/lease?wait=10", token, {"instance_id": instance})
        return name


def archive():
    """A project that asks for an API token."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("Towerfile", TOWERFILE), ("main.py", "print('hello')\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def form(name, content):
    """A multipart body with one file."""
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a.tar.gz"\r\n\r\n'
    return head.encode() + content + b"\r\n--XX--\r\n"


@contextlib.contextmanager
def served(program):
    """Runs the program on a free port with a temporary folder, and ends it."""
    with tempfile.TemporaryDirectory(prefix="minitower-fuzzed-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MINITOWER_")} | {
            "MINITOWER_LISTEN_ADDR": "127.0.0.1:0",
            "MINITOWER_DB_PATH": f"{folder}/minitower.db",
            "MINITOWER_OBJECTS_DIR": f"{folder}/objects",
            "MINITOWER_BOOTSTRAP_TOKEN": BOOTSTRAP,
            "MINITOWER_RUNNER_REGISTRATION_TOKEN": REGISTRATION,
            "MINITOWER_OPERATOR_TOKEN": OPERATOR,
            "MINITOWER_LOG_FORMAT": "json",
            # An attempt lasts as long as the fuzzing.
            "MINITOWER_LEASE_TTL": "1h",
        }
        log = Path(folder, "log")
        with log.open("w") as output:
            server = subprocess.Popen([program], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            yield Bed(address(server, log)), Path(folder)
        finally:
            server.terminate()
            server.wait(30)


def address(server, log):
    """The URL that the server logs when it listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r'"addr":\s*"([^"]+)"', log.read_text())
        if found:
            return f"http://{found[1]}"
        time.sleep(0.05)
    raise SystemExit(f"schemathesis: the server does not start:\n{log.read_text()}")
