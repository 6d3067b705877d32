#!/usr/bin/env bash
# Every check of the repository: those of .pre-commit-config.yaml, then the tests. Other arguments go to pytest.
#   bash ci/test.sh [--lowest] [PYTEST ARGUMENT ...]
#   bash ci/test.sh -m "not slow"   the fast tests alone
#   bash ci/test.sh --lowest        the fast tests alone, with the oldest versions that requirements.txt allows
if [ "${1:-}" = --lowest ]; then
  LOWEST=1
  set -- -m "not slow" "${@:2}"
fi
# shellcheck source=ci/setup.sh
source "$(dirname "$0")/setup.sh"
[ -n "${LOWEST:-}" ] || pre-commit run --all-files
[ $# -eq 0 ] || exec python -m pytest "$@"
# Counting lines costs time, so only the whole run does it. Lines that run in processes of their own are not counted.
status=0
python -m pytest --cov --cov-report= || status=$?
echo "coverage of custom_components and mim3d: $(coverage report --format=total) % of lines"
exit "$status"
