"""Fails on purpose, to show what a failed run looks like."""

import sys

print("looking for the input file")
print("error: input.csv is not there", file=sys.stderr)
sys.exit(3)
