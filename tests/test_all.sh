#!/usr/bin/env bash
# What `make test` leaves out: slow tests, and tests that need real data or a browser. Says aloud what it could not run.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
missing=()

data=${BEATWISE_DATA:-data/01_raw}
real=true
if [ ! -d "$data/mitdb" ] || [ ! -d "$data/heartbeat" ]; then
  real=false
  missing+=("tests on real data: no heartbeat/ and mitdb/ in $data; name their folder in BEATWISE_DATA")
fi

find_browser() { for name in chromium chromium-browser google-chrome; do command -v "$name" && return; done; }
browser=$(find_browser)
if { [ -z "$browser" ] || ! command -v chromedriver > /dev/null; } && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "No browser with a driver here: installing chromium."
  { apt-get update && apt-get install --yes chromium chromium-driver; } > /dev/null 2>&1
  browser=$(find_browser)
fi
if [ -z "$browser" ] || ! command -v chromedriver > /dev/null; then
  browser=""
  missing+=("tests in a browser: no chromium (or google-chrome) with chromedriver on the PATH")
fi

marks="slow"
$real && marks="$marks or real_data"
[ -n "$browser" ] && marks="$marks or browser"
$real || marks="($marks) and not real_data"
[ -n "$browser" ] || marks="($marks) and not browser"

BEATWISE_DATA=$(cd "$data" 2> /dev/null && pwd || echo "$data") BEATWISE_BROWSER=$browser \
  "$python" -m pytest -m "$marks" --timeout 2400
status=$?
# pytest ends with 5 when nothing was left to run.
[ $status -eq 5 ] && status=0

if [ ${#missing[@]} -gt 0 ]; then
  echo
  echo "NOT RUN:"
  printf '  %s\n' "${missing[@]}"
fi
exit $status
