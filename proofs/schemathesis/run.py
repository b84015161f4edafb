#!/usr/bin/env python3
"""run.py PROGRAM: fuzzes the server PROGRAM in every role with schemathesis, from openapi.json.

The operations that a role opens are tried thoroughly, the others briefly: they refuse. Fails on a 5xx, on a status, content
type, header or body that openapi.json does not describe, and on a panic in the server's log."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bed import served

HERE = Path(__file__).resolve().parent
DESCRIPTION = HERE.parents[1] / "openapi.json"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method"
# What each role's credential is, in the words of the description.
SCHEMES = {
    "public": {},
    "bootstrap": {"bootstrap_token"},
    "registration": {"registration_token"},
    "admin": {"team_token", "admin"},
    "member": {"team_token"},
    "attempt": {"attempt_token"},
    "operator": {"operator_token"},
    "runner": {"runner_token"},
    "lease holder": {"runner_token", "lease_token"},
}
# Their answers are streams that do not end.
ENDLESS = ["follow_runs"]
# They need an identity provider, and there is none: here they only refuse.
PROVIDED = {"start_device", "start_sign_in", "finish_sign_in", "confirm_sign_in", "exchange_code"}


def opens(role, operation):
    ways = operation["security"]
    if not ways or role == "public":
        return not ways and role == "public"
    return any(set(way) | {one for roles in way.values() for one in roles} <= SCHEMES[role] for way in ways)


def fuzz(bed, folder, role, token, operations, thorough, told):
    examples, seed = os.environ.get("EXAMPLES") or "12", os.environ.get("SEED") or "1"
    command = [Path(sys.executable).parent / "schemathesis", "run", DESCRIPTION, "--url", bed.url, "--checks", CHECKS]
    command += ["--phases", "examples,coverage,fuzzing" if thorough else "fuzzing", "--max-examples", examples if thorough else "1"]
    command += ["--seed", seed, "--generation-database", "none", "--generation-with-security-parameters", "false"]
    command += ["--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "30", "--continue-on-failure", "--no-color"]
    command += [word for operation in operations for word in ("--include-operation-id", operation)]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    told = {**told, "role": role, "thorough": thorough}
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "FUZZED": json.dumps(told)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        print(done.stdout[-20000:], done.stderr[-5000:], sep="\n")
    return done.returncode == 0


def in_role(role, program, operations, seen):
    """Fuzzes a server of its own in one role; returns what went wrong."""
    wrong = []
    with served(program) as (bed, folder):
        tokens, lease = bed.furnish()
        told = {"url": bed.url, "secrets": [bed.admin, bed.registration, bed.holder], "lease": lease, "seen": str(seen)}
        told["registration_id"] = bed.ask("POST", "/registration-tokens", bed.admin)["id"]
        told["methods"] = {name: method for name, (method, _) in operations.items()}
        for thorough in (True, False):
            some = [name for name, (_, one) in operations.items() if opens(role, one) == thorough and (one["security"] or role == "public")]
            started = time.monotonic()
            if some and not fuzz(bed, folder, role, tokens[role], some, thorough, told):
                wrong.append(f"in the role {role}")
            kind = "opens" if thorough else "does not open"
            print(f"schemathesis: {role}: {len(some)} operations that it {kind}: {time.monotonic() - started:.0f} s", flush=True)
        wrong += [line for line in (folder / "log").read_text().splitlines() if "panicked" in line]
    return wrong


def main():
    paths = json.loads(DESCRIPTION.read_text())["paths"]
    operations = {one["operationId"]: (method.upper(), one) for item in paths.values() for method, one in item.items()}
    for endless in ENDLESS:
        del operations[endless]
    wrong = []
    roles = [role for role in SCHEMES if role in os.environ.get("ROLES", role).split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        seen = Path(scratch, "seen")
        for role in roles:
            wrong += in_role(role, sys.argv[1], operations, seen)
        answers = [json.loads(line) for line in seen.read_text().splitlines()]
    succeeded = {operation for operation, status, _ in answers if status < 400}
    if len(roles) == len(SCHEMES):
        wrong += [f"{operation} never succeeded: its answers were not looked at" for operation in operations if operation not in succeeded | PROVIDED]
    if wrong:
        raise SystemExit("\n".join(f"schemathesis: failed: {one}" for one in wrong))
    pairs = {(operation, status) for operation, status, _ in answers}
    print(f"schemathesis: {len(operations)} operations in {len(roles)} roles gave {len(pairs)} different answers, all of them described")


if __name__ == "__main__":
    main()
