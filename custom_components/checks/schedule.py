"""Does a run's schedule leave something behind, and can it be resumed? Each check raises ValueError."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import nn

from custom_components.losses import supported_terms
from custom_components.transfer import differing_tensors, read_resume_checkpoint


def check_schedule(epochs: int, val_interval: int) -> None:
    """Check that at least one validation runs: it is what keeps weights.

    Raises:
        ValueError: naming both numbers.
    """
    if epochs < 1 or val_interval < 1:
        raise ValueError(f"epochs is {epochs} and val_interval {val_interval}; allowed: whole numbers from 1")
    if val_interval > epochs:
        raise ValueError(
            f"val_interval is {val_interval} and epochs {epochs}: no validation would run and no weights be kept; "
            f"set --val_interval to at most {epochs}"
        )


def check_key_metric(key_metric: str, measured: Sequence[str]) -> None:
    """Check that the metric which picks the best weights is measured, and says something.

    Args:
        key_metric: with the prefix ``val_``.
        measured: what a validation measures, see `validation_names`.

    Raises:
        ValueError: listing what can be chosen.
    """
    if set(measured) == {"loss"}:
        raise ValueError(
            "contrast is the only loss part: a validation, which has no second view, could not tell good weights "
            "from bad; give another part a weight above 0"
        )
    allowed = [f"val_{name}" for name in measured if name != "negatives"]
    if key_metric not in allowed:
        raise ValueError(f"key_metric is {key_metric!r}; with these loss parts it can be {', '.join(allowed)}")


def check_resume(
    path: str | os.PathLike[str], names: Sequence[str], epochs: int, network: nn.Module | None = None
) -> None:
    """Check that a resume file can be read, holds what is restored, fits the network, and has epochs left.

    Args:
        path: the file.
        names: what is restored besides the trainer.
        epochs: length that the run shall have in all.
        network: whose tensors it holds as ``network``; None: not compared.

    Raises:
        ValueError: naming the file.
    """
    content = read_resume_checkpoint(path, [*names, "trainer"])
    wrong = [] if network is None else differing_tensors(network.state_dict(), content.get("network", {}))
    if wrong:
        raise ValueError(
            f"{path} is of another network than this {type(network).__name__}: {len(wrong)} tensors differ"
            f" ({', '.join(wrong[:3])}); resume with the layers the run began with"
        )
    done = content["trainer"]["epoch"]
    if done >= epochs:
        raise ValueError(f"{path} is at epoch {done} and epochs is {epochs}; ask for more to train on")


def check_terms(terms: Sequence[str], built: Sequence[Any]) -> None:
    """Refuse loss parts that the method does not have.

    Args:
        terms: active loss parts.
        built: the pretext network first, which knows its own parts; empty: nothing is compared.

    Raises:
        ValueError: naming the parts and what is allowed.
    """
    if not built:
        return
    known = supported_terms(built[0].outputs)
    foreign = [name for name in terms if name not in known]
    if foreign:
        raise ValueError(
            f"loss_weights names {', '.join(foreign)}, which {type(built[0]).__name__} does not have; "
            f"allowed: {', '.join(sorted(known))}"
        )
