#!/usr/bin/env bash
# Style, types and the whole test suite. Arguments go to pytest: bash ci/test.sh -m "not slow"
source "$(dirname "$0")/setup.sh"
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
