#!/usr/bin/env bash
# Builds the user interface into ui/dist and runs its unit tests: `make ui`.
set -euo pipefail
cd "$(dirname "$0")"
./node.sh npm ci --no-audit --no-fund
./node.sh npm run build
./node.sh npm test
