"""Greets, and counts a little so that you can watch the log live."""

import json
import os
import time

# A run's input arrives twice: as JSON, and as one variable per key.
given = json.loads(os.environ.get("MINITOWER_INPUT") or "{}") or {}
name = os.environ.get("name") or given.get("name") or "world"

print(f"hello, {name}")
for number in range(1, 6):
    print(f"line {number} of 5")
    time.sleep(0.2)
