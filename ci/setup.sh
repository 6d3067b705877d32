# Sourced by quickstart.sh and test.sh: an environment with the package in it, made once and kept.
#   VENV=DIR    where it lives (default .venv in the repository)
#   PYTHON=BIN  the interpreter it is made with (default python3, >= 3.10)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
# torch first and by its own: later requirements then find it. 2.13.0 is the version the tests ran with.
TORCH=${TORCH:-torch==2.13.0}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "error: $("$PYTHON" --version) found as $PYTHON; Python 3.10 or newer is needed (set PYTHON=...)" >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
stamp="$VENV/installed-$(cat requirements.txt pyproject.toml | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  echo "installing into $VENV (once; minutes)"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$TORCH"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[dev]"
  touch "$stamp"
fi
PATH="$(cd "$VENV" && pwd)/bin:$PATH"
export PATH
# torch's own switch: big tensors on huge pages, which spares a training step on a CPU page faults (benchmarks/
# has results with and without); no effect where the system has none.
export THP_MEM_ALLOC_ENABLE="${THP_MEM_ALLOC_ENABLE:-1}"
