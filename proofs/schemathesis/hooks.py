"""What schemathesis does with each call: half of the calls are about things that exist, so that they can succeed.

The statuses that each operation answered are written to the file `seen`."""

import atexit
import json
import os

import schemathesis
from bed import ARTIFACT, SLUG, PASSWORD, Bed, archive, form

told = json.loads(os.environ["FUZZED"])
bed = Bed(told["url"], told["secrets"])
role = told["role"]
calls, seen = 0, set()
# What the parameters of a path may name; a call that ends one of them is followed by a new one.
known = {"run": told["lease"]["run_id"], "app": "fuzzed", "no": 1, "name": "poller", "path": ARTIFACT, "id": told["registration_id"], "slug": SLUG, "env": "default", "secret": "WORD"}
lease = told["lease"]


def new_lease():
    global lease
    lease = bed.lease()
    known["run"] = lease["run_id"]


def new_runner():
    bed.register("poller")


def new_token():
    known["id"] = bed.ask("POST", "/registration-tokens", bed.admin)["id"]


def new_artifact():
    bed.leave_artifact(lease)


def new_secret():
    bed.ask("PUT", "/environments/default/secrets/WORD", bed.admin, {"value": "a good word"})


AFTER = {
    "delete_secret": new_secret,
    "finish_attempt": new_lease,
    "release_attempt": new_lease,
    "delete_runner": new_runner,
    "delete_registration_token": new_token,
    "delete_artifact": new_artifact,
}


def held_runner(case):
    """A runner whose process holds a run."""
    case.path_parameters = {"name": bed.held("instance-1")}
    case.body = {"instance_id": "instance-1"}


def upload(case):
    case.body = {"artifact": archive()}


def login(case):
    case.body = {"slug": SLUG, "password": PASSWORD}


def bootstrap(case):
    case.body = {"slug": SLUG, "name": "Fuzzers"}


def spare_app(case):
    """An app that nothing else needs."""
    slug = f"spare-{os.getpid()}-{calls}"
    bed.ask("POST", "/apps", bed.admin, {"slug": slug})
    case.path_parameters = {"app": slug}


def spare_version(case):
    form_type = {"Content-Type": "multipart/form-data; boundary=XX"}
    made = bed.ask("POST", "/apps/fuzzed/versions", bed.admin, form("artifact", archive()), form_type)
    case.path_parameters = {"app": "fuzzed", "no": made["version_no"]}


def spare_run(case):
    case.path_parameters = {"run": bed.ask("POST", "/apps/fuzzed/runs", bed.admin)["run_id"]}
    case.query = {"force": "true"}


def spare_token(case):
    case.path_parameters = {"id": bed.ask("POST", "/tokens", bed.admin)["token_id"]}


def ended_run(case):
    """A run that may run again."""
    run = bed.ask("POST", "/apps/fuzzed/runs", bed.admin)["run_id"]
    bed.ask("POST", f"/runs/{run}/cancel", bed.admin)
    case.path_parameters = {"run": run}
    case.body = {}


def notification():
    """What makes a notification, under a name that none has. It is made in place of the one before: a team may have few."""
    if bed.notification:
        bed.ask("DELETE", f"/notifications/{bed.notification}", bed.admin)
        bed.notification = None
    return {"name": f"n-{os.getpid()}-{calls}", "on": ["dead"], "target": {"kind": "webhook", "url": "https://192.0.43.7/hook"}}


def spare_notification(case):
    bed.notification = bed.ask("POST", "/notifications", bed.admin, notification())["id"]
    case.path_parameters = {"id": bed.notification}


def delivered(case):
    spare_notification(case)
    made = bed.ask("POST", f"/notifications/{bed.notification}/test", bed.admin)
    case.path_parameters = {"id": bed.notification, "delivery": made["id"]}


def make_notification(case):
    case.body = notification()


def rename_notification(case):
    spare_notification(case)
    case.body = {"name": f"other-{calls}"}


def set_secret(case):
    case.body = {"value": "another word"}


def standing_pool(case):
    case.path_parameters = {"namespace": "fuzzed", "pool": "pool"}
    case.body = {"state": "ready", "min": 0, "max": 1, "desired": 0, "ready": 0, "message": "it stands well"}


def wide_limits(case):
    case.body = {"queued_runs": 900_000, "apps": None}


def keep_all(case):
    case.body = {"keep_seconds": 0, "keep_last": None}


# A call that would delete for good what the other calls need deletes another one.
SPARE = {
    "delete_app": spare_app,
    "delete_version": spare_version,
    "delete_run": spare_run,
    "delete_token": spare_token,
    "delete_notification": spare_notification,
}
BEFORE = SPARE | {
    "set_limits": wide_limits,
    "set_team_limits": wide_limits,
    "set_retention": keep_all,
    "set_secret": set_secret,
    "report_pool": standing_pool,
    "retry_run": ended_run,
    "create_notification": make_notification,
    "show_notification": spare_notification,
    "update_notification": rename_notification,
    "test_notification": spare_notification,
    "list_deliveries": spare_notification,
    "retry_delivery": delivered,
    "runner_ended": held_runner,
    "create_version": upload,
    "login": login,
    "bootstrap_team": bootstrap,
}


def exists(value):
    """Whether a parameter can name a thing of the bed: its app, or any number."""
    return value == known["app"] or str(value).isdigit()


@schemathesis.hook
def before_call(context, case, kwargs):
    global calls
    calls += 1
    operation = case.operation.definition.raw
    if any("lease_token" in way for way in operation["security"]):
        case.headers = {**(case.headers or {}), "X-Lease-Token": lease["lease_token"]}
    if calls % 2:
        if case.path_parameters:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        if told["thorough"] and case.method.upper() == told["methods"][operation["operationId"]]:
            BEFORE.get(operation["operationId"], lambda case: None)(case)
    elif operation["operationId"] in SPARE and any(exists(value) for value in (case.path_parameters or {}).values()):
        # Values of former answers are tried again.
        SPARE[operation["operationId"]](case)
    elif operation["operationId"] in ("set_limits", "set_team_limits") and isinstance(case.body, dict):
        # Limits that are taken would keep the other calls out.
        case.body = {name: -1 if isinstance(value, int) else value for name, value in case.body.items() if value is not None}
    # A poll that waits costs its time and shows nothing more.
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and 0 < int(wait) <= 60:
        case.query["wait"] = 0


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw["operationId"]
    if case.method.upper() != told["methods"][operation]:
        return
    seen.add((operation, response.status_code))
    if response.status_code < 300:
        AFTER.get(operation, lambda: None)()
    if operation == "create_notification" and response.status_code == 201:
        bed.notification = response.json()["id"]
    if operation == "delete_notification" and response.status_code == 204:
        bed.notification = None


@atexit.register
def write():
    with open(told["seen"], "a") as file:
        file.writelines(json.dumps([operation, status, role]) + "\n" for operation, status in sorted(seen))
