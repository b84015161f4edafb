"""values_schema.py DEFINITION.json VALUES.schema.json: prints the schema of the chart's values with the part `runnerPool` made anew.

A value `runnerPools.NAME` is a RunnerPool's spec in which the chart fills in what is the release's own. Helm knows plain JSON Schema, so what
only Kubernetes understands is left to the cluster.
"""

import json
import sys

# What the chart fills in.
FILLED = ("server", "registrationTokenSecretRef")


def plain(schema):
    """A copy without the words of Kubernetes; an object with named fields has no others."""
    out = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-") and key != "format"}
    if schema.get("x-kubernetes-int-or-string"):
        out["type"] = ["integer", "string"]
    if "properties" in schema:
        out["properties"] = {name: plain(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            out[key] = plain(schema[key])
    return out


def main(definition, values):
    with open(definition, encoding="utf-8") as file:
        versions = json.load(file)["spec"]["versions"]
    with open(values, encoding="utf-8") as file:
        schema = json.load(file)
    pool = plain(versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    pool["required"] = [name for name in pool.get("required", []) if name not in FILLED]
    if not pool["required"]:
        del pool["required"]
    schema["$defs"]["runnerPool"] = pool
    json.dump(schema, sys.stdout, indent=2, ensure_ascii=False)
    print()


main(*sys.argv[1:])
