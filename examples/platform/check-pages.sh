#!/bin/sh
# Looks at every page with axe and Lighthouse: check-pages.sh http://web:8080
set -eu
mkdir -p axe lighthouse
axe "$1/" > axe/index.json
lighthouse "$1/" --only-categories=accessibility --output=json --output-path=lighthouse/index.json --quiet \
    --chrome-flags="--headless=new --no-sandbox --disable-dev-shm-usage"
