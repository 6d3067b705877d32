"""Check: does MONAI read the paths on the command line and in the config files as they are written?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from custom_components.checks.command_line import options_and_config, with_args_file
from custom_components.config_text import misread_path

_PATH_KEY = re.compile(r"(\w+_)?(dir|root|path)|weights|pretrained|datalist|split")
# Arguments of `monai.bundle run` that never pass through its config reading.
_NOT_CONFIG = ("config_file", "meta_file", "logging_file", "args_file", "properties_path")


def misread_paths(argv: Sequence[str]) -> list[str]:
    """Return one line for each path that MONAI would not read as it is written.

    Args:
        argv: a command line as in ``sys.argv``.

    Returns:
        Empty for another kind of command line.
    """
    read = options_and_config(argv)
    if read is None:
        return []
    options, config = read
    found = []
    for key, written in options.items():
        if key in _NOT_CONFIG or _refers_to(written, config):
            continue
        if _PATH_KEY.fullmatch(key) or "#" in written:
            found.append(misread_path(key, written))
    everything = with_args_file(options)
    stated = {**config, **{key: value for key, value in everything.items() if key not in options}}
    for key, value in stated.items():
        if key not in options and _PATH_KEY.fullmatch(str(key)) and "#" in str(value):
            found.append(misread_path(str(key), str(value)))
    return [line for line in found if line]


def _refers_to(written: str, config: Any) -> bool:
    """Return whether a value is a reference to an entry of the config, or an empty value, None or a list."""
    if written.startswith("@"):
        return re.split("#|::", written[1:])[0] in config
    return written in ("", "None", "null") or (written.startswith("[") and "#" not in written)
