# Sourced by quickstart.sh and test.sh: an environment with the package in it, made once and kept.
#   VENV=DIR    where it lives (default .venv in the repository, with LOWEST .venv-lowest)
#   PYTHON=BIN  the interpreter it is made with (default python3, >= 3.10)
#   LOWEST=1    installs the oldest version of each package that requirements.txt allows
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
# torch first and by its own: later requirements then find it. 2.13.0 is the version the tests ran with.
TORCH=${TORCH:-torch==2.13.0}
oldest=
if [ -n "${LOWEST:-}" ]; then
  oldest=$(sed -E '/^#/d; s/>=([^,]+).*/==\1/' requirements.txt)
  TORCH=$(grep '^torch==' <<<"$oldest")
  VENV=${VENV:-.venv-lowest}
fi
VENV=${VENV:-.venv}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "error: $("$PYTHON" --version) found as $PYTHON; Python 3.10 or newer is needed (set PYTHON=...)" >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
stamp="$VENV/installed-$( (cat requirements.txt pyproject.toml && echo "$oldest") | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  echo "installing into $VENV (once; minutes)"
  install() { "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
  install "$TORCH"
  echo "$oldest" >"$VENV/constraints.txt"
  install -c "$VENV/constraints.txt" -e ".[dev]"
  rm -f "$VENV"/installed-*
  touch "$stamp"
fi
PATH="$(cd "$VENV" && pwd)/bin:$PATH"
export PATH
# torch's own switch: big tensors on huge pages, which spares a training step on a CPU page faults (benchmarks/
# has results with and without); no effect where the system has none.
export THP_MEM_ALLOC_ENABLE="${THP_MEM_ALLOC_ENABLE:-1}"
