"""Every check of packed bundles. Importing this module registers them all."""

from mim3d.verify import (
    checks_config_only,
    checks_configs,
    checks_exports,
    checks_files,
    checks_label,
    checks_metadata,
    checks_network,
    checks_readme,
    checks_training,
    checks_workflows,
)
from mim3d.verify.registry import CHECKS, GROUPS, HEAVY, run_checks, select

MODULES = (
    checks_files,
    checks_readme,
    checks_metadata,
    checks_configs,
    checks_training,
    checks_workflows,
    checks_label,
    checks_network,
    checks_config_only,
    checks_exports,
)
__all__ = ["CHECKS", "GROUPS", "HEAVY", "MODULES", "run_checks", "select"]
