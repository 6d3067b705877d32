"""Reading the curves that trainings wrote for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return the scalars of a folder: tag -> step -> value, over all event files.

    Where two files have a step, because a run was resumed, the later file counts.
    """
    found: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):  # the names begin with the time
        events = EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 1}).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, {}).update({event.step: event.value for event in events.Scalars(tag)})
    return {tag: dict(sorted(points.items())) for tag, points in found.items()}
