"""The commands in a document: read from its ``bash`` blocks, as a shell would read them."""

from __future__ import annotations

import ast
import re
import shlex


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language (``""`` where none is named) and content of every fenced block."""
    found = re.findall(r"^```([^\n`]*)\n(.*?)^```\s*$", text, flags=re.MULTILINE | re.DOTALL)
    return [(language.strip(), content) for language, content in found]


def commands(text: str) -> list[list[str]]:
    """Return the words of every command in the bash blocks of a text.

    Continuation lines are joined, comments are left out, and ``a && b`` is two commands.
    """
    lines = [
        line
        for language, content in blocks(text)
        if language == "bash"
        for line in content.replace("\\\n", " ").splitlines()
    ]
    found: list[list[str]] = []
    for line in lines:
        command: list[str] = []
        # shlex takes every # for a comment; for bash only one that begins a word is.
        for word in [*shlex.split(re.sub(r"(^|\s)#.*", "", line)), "&&"]:
            if word != "&&":
                command.append(word)
            elif command:
                found.append(command)
                command = []
    return found


def split_environment(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the ``NAME=value`` words before a command, and the command."""
    count = next((n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


def flags(words: list[str]) -> dict[str, str]:
    """Return ``--key value`` and ``--key=value`` of a command; a flag without a value is ``""``."""
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            found[key] = value if equals else "" if following.startswith("--") else following
    return found


def config_files(words: list[str]) -> list[str]:
    """Return the files that ``--config_file`` of a command names; none where it has no such flag."""
    value = flags(words).get("config_file", "")
    if value.startswith("["):
        return list(ast.literal_eval(value))
    return [value] if value else []


def overrides(words: list[str]) -> dict[str, str]:
    """Return the config keys that a ``monai.bundle run`` command sets, with their values.

    Flags before ``monai.bundle`` (torchrun's) and the arguments of ``run`` itself are left out. A key that
    ``run_arguments`` has and a config too, such as ``meta_file``, counts as an argument.
    """
    given = flags(words[words.index("monai.bundle") :])
    own = run_arguments()
    return {key: value for key, value in given.items() if key not in own}


def run_arguments() -> set[str]:
    """Return the names of the arguments that ``monai.bundle run`` itself takes."""
    import inspect

    from monai.bundle.scripts import run
    from monai.bundle.workflows import ConfigWorkflow

    return {name for made in (run, ConfigWorkflow.__init__) for name in inspect.signature(made).parameters}
