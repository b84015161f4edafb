"""Runs one job on a MiniTower as a client does: team, app, version, run, log, result. Python's standard library only."""

import io
import json
import os
import sys
import tarfile
import time
import urllib.error
import urllib.request

SERVER = os.environ["SERVER_URL"].rstrip("/")
TEAM = os.environ["TEAM"]
ENVIRONMENT = os.environ["ENVIRONMENT"]
DEADLINE = time.monotonic() + float(os.environ["TIMEOUT_SECONDS"])
APP = "helm-test"
JOB = b'import os\nprint("hello from", os.environ["MINITOWER_APP"], os.environ["greeting"])\n'


def end(text):
    sys.exit(f"helm test: {text}")


def left():
    seconds = DEADLINE - time.monotonic()
    if seconds <= 0:
        end("out of time: see the events of the pool (kubectl describe runnerpools) and tests.timeoutSeconds")
    return seconds


def call(method, path, token=None, body=None, form=None):
    """The status and the answer; a server that is silent for long is an error."""
    headers = {}
    data = None
    if form is not None:
        data, headers["Content-Type"] = form
    elif body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(SERVER + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=min(30, left())) as answer:
            return answer.status, json.load(answer) if answer.headers.get_content_type() == "application/json" else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def expect(status, answer, *wanted):
    if status not in wanted:
        end(f"the control plane answered {status}: {json.dumps(answer)}")
    return answer


def wait_until_ready():
    while True:
        try:
            status, _ = call("GET", "/ready")
            if status == 200:
                return
            why = f"status {status}"
        except OSError as error:
            why = str(error)
        print(f"waits for {SERVER}: {why}", flush=True)
        time.sleep(min(1, left()))


def multipart(fields, archive):
    boundary = "minitower-helm-test"
    out = io.BytesIO()
    for name, value in fields.items():
        out.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    out.write(f'--{boundary}\r\nContent-Disposition: form-data; name="artifact"; filename="job.tar.gz"\r\n'.encode())
    out.write(b"Content-Type: application/gzip\r\n\r\n" + archive + f"\r\n--{boundary}--\r\n".encode())
    return out.getvalue(), f"multipart/form-data; boundary={boundary}"


def archive():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("main.py")
        member.size = len(JOB)
        tar.addfile(member, io.BytesIO(JOB))
    return packed.getvalue()


def team_token():
    if os.environ.get("TEAM_TOKEN"):
        return os.environ["TEAM_TOKEN"]
    status, answer = call("POST", "/api/v1/bootstrap/team", os.environ["BOOTSTRAP_TOKEN"], {"slug": TEAM, "name": TEAM})
    if status == 409:
        end(f"the platform's team is not {TEAM!r}: set tests.team to its slug, or tests.existingSecret")
    return expect(status, answer, 200, 201)["token"]


def main():
    wait_until_ready()
    token = team_token()
    expect(*call("POST", "/api/v1/apps", token, {"slug": APP, "description": "made by helm test"}), 201, 409)
    fields = {"entrypoint": "main.py", "timeout_seconds": 60}
    expect(*call("POST", f"/api/v1/apps/{APP}/versions", token, form=multipart(fields, archive())), 200, 201)
    began = time.monotonic()
    body = {"environment": ENVIRONMENT, "input": {"greeting": "and through the Service"}}
    run = expect(*call("POST", f"/api/v1/apps/{APP}/runs", token, body), 201)["run_id"]
    print(f"run {run} of {APP} waits for a runner of the environment {ENVIRONMENT}", flush=True)
    while True:
        state = expect(*call("GET", f"/api/v1/runs/{run}", token), 200)
        if state["status"] in ("completed", "failed", "cancelled", "dead"):
            break
        time.sleep(min(0.5, left()))
    log = expect(*call("GET", f"/api/v1/runs/{run}/logs", token), 200)
    lines = [line["line"] for line in log["logs"]]
    print("\n".join(f"| {line}" for line in lines))
    if state["status"] != "completed":
        end(f"run {run} ended as {state['status']}")
    if f"hello from {APP} and through the Service" not in lines:
        end(f"the log of run {run} does not have the job's line")
    print(f"run {run} completed {time.monotonic() - began:.1f} s after it was created")


main()
