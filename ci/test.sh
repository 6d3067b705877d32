#!/usr/bin/env bash
# Every check of the repository: those of .pre-commit-config.yaml, then the tests. Other arguments go to pytest.
#   bash ci/test.sh [--coverage | --lowest] [PYTEST ARGUMENT ...]
#   bash ci/test.sh -m "not slow"   the fast tests alone
#   bash ci/test.sh --coverage      prints the share of lines that ran; counting them makes the tests half as fast
#   bash ci/test.sh --lowest        the fast tests alone, with the oldest versions that requirements.txt allows
case "${1:-}" in
  --lowest)
    LOWEST=1
    set -- -m "not slow" "${@:2}"
    ;;
  --coverage)
    # Lines that run in processes of their own are not counted.
    set -- --cov --cov-report=term:skip-covered "${@:2}"
    ;;
esac
# shellcheck source=ci/setup.sh
source "$(dirname "$0")/setup.sh"
[ -n "${LOWEST:-}" ] || pre-commit run --all-files
exec python -m pytest "$@"
