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

marks="slow and not browser"
[ -n "$browser" ] && marks="slow or browser"

export OMP_NUM_THREADS=1
BEATWISE_DATA=$(cd "$data" 2> /dev/null && pwd || echo "$data")
export BEATWISE_DATA BEATWISE_BROWSER=$browser
run_tests=("$python" -m pytest --timeout 2400)

# Real data trains one model for most of the time, on one core; its output follows that of the others, which wait for
# processes and browsers for much of theirs and therefore run two files at once. It has the lowest priority, because the
# processes of Ray have a low one and would starve beside it.
if $real; then
  log=$(mktemp)
  set -m # in a process group of its own, that ends with this script
  nice -n 19 "${run_tests[@]}" -m real_data > "$log" 2>&1 &
  set +m
  trap 'kill -- -$! 2> /dev/null; rm -f "$log"' EXIT
fi
"${run_tests[@]}" -m "($marks) and not real_data" --numprocesses 2 --dist loadfile --no-loadscope-reorder
status=$?
if $real; then
  wait $! || status=$?
  cat "$log"
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo
  echo "NOT RUN:"
  printf '  %s\n' "${missing[@]}"
fi
exit $status
