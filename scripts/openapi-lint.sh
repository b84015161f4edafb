#!/usr/bin/env bash
# Lints openapi.json with Redocly. Skipped if npm is not installed or the linter cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

linter=@redocly/cli@2.77.0
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

if ! command -v npx >/dev/null 2>&1; then
    echo "openapi-lint: skipped: npm is not installed"
    exit
fi
if ! npx --yes "$linter" --version >/dev/null 2>&1; then
    echo "openapi-lint: skipped: $linter cannot be fetched"
    exit
fi
npx --yes "$linter" lint --config server/doors/rest/redocly.yaml openapi.json
