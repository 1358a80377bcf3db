#!/usr/bin/env bash
# The live page in a real browser: Tests/Page/run.sh LORA PYTHON
#
# Needs Chromium (Debian's package, or Chrome); where there is none, says so and passes.
set -euo pipefail
lora=$(realpath "$1") python=$2
cd "$(dirname "$0")"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ -z $browser ]]; then
  echo "skipped: there is no Chromium (apt-get install chromium)"
  exit 0
fi
if ! "$python" -c 'import playwright, axe_playwright_python' 2> /dev/null; then
  "$python" -m venv ../../.venv-page
  python=../../.venv-page/bin/python
  "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$lora" page --quiet -o "$work/lora.html" --numbers "$work/library.json"
"$python" browser.py "$browser" "$work/lora.html" "$work/library.json" "${SCREENSHOTS:-}"
