"""Finds a country's highest airports in a data set of some 28,000."""

import json
import os
import sys

import airportsdata
from tabulate import tabulate

country = os.environ.get("country", "CH").upper()
top = int(os.environ.get("top", "5"))

airports = airportsdata.load("ICAO").values()
found = [airport for airport in airports if airport["country"] == country]
if not found:
    sys.exit(f"no airport in country {country!r}: give a two-letter code such as CH")
highest = sorted(found, key=lambda airport: (-airport["elevation"], airport["icao"]))[:top]

print(f"{len(airports)} airports in the world, {len(found)} in {country}; the highest:")
print(tabulate([(a["icao"], a["name"], a["city"], f"{a['elevation'] * 0.3048:.0f}") for a in highest],
               headers=["code", "name", "city", "metres"], colalign=("left", "left", "left", "right")))

result = {
    "country": country,
    "airports": len(found),
    "highest": [{"icao": a["icao"], "name": a["name"], "metres": round(a["elevation"] * 0.3048)} for a in highest],
}
# What is written here becomes the run's output.
with open(os.environ["MINITOWER_OUTPUT_FILE"], "w", encoding="utf-8") as output:
    json.dump(result, output, ensure_ascii=False)
