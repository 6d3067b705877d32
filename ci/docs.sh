#!/usr/bin/env bash
# The documents as a site, in build/site. A link that leads nowhere is an error.
# shellcheck source=ci/setup.sh
source "$(dirname "$0")/setup.sh"
export NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true # pyproject.toml keeps mkdocs below 2
exec mkdocs build --strict # without --quiet, which hides warnings from --strict
