"""What became of each tensor of a pretrained file and of the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


def _keys() -> Any:
    """Return a field that lists state-dict keys and is counted in the report."""
    return field(default_factory=list, metadata={"counted": True})


#: What the printed report says of each list of keys.
MEANINGS = {
    "adapted": "adapted to the number of input channels",
    "resized": "position embeddings resized",
    "expected_missing": "left as initialised, on purpose",
    "untrained": "left as initialised, not trained in the file",
    "missing": "left as initialised, not in the file",
    "wrong_shape": "left as initialised, another shape in the file",
    "unexpected": "not used, only in the file",
}


@dataclass
class TransferReport:
    """State-dict keys of the target network (``unexpected``: of the file), by what happened to them."""

    path: str = ""
    layout: str = "plain"  #: whose code wrote the file, see `custom_components.transfer.layouts`
    input_layer: str = "repeat_mean"
    matched: list[str] = _keys()  #: loaded unchanged
    adapted: list[str] = _keys()  #: loaded after ``input_layer`` changed the number of input channels
    resized: list[str] = _keys()  #: position embeddings that were resized, as ``key: file grid -> network grid``
    expected_missing: list[str] = _keys()  #: initialised on purpose: output layer, ``reinit``, ``transfer``
    untrained: list[str] = _keys()  #: in the file but, by its card, not trained; left as initialised
    missing: list[str] = _keys()  #: not in the file
    wrong_shape: list[str] = _keys()  #: in another shape, as ``key: file shape -> network shape``
    unexpected: list[str] = _keys()  #: in the file but not in the network, such as the heads of a ``pretext.pt``
    encoder_share: float = 0.0  #: loaded keys of the encoder among those of network or file, see `match`
    view_differences: list[str] = field(default_factory=list)  #: of the preprocessing, one line each
    network_differences: list[str] = field(default_factory=list)  #: of class and arguments, one line each
    notes: list[str] = field(default_factory=list)  #: what the file does not show, one line each

    def counts(self) -> dict[str, int]:
        """Return the number of keys in each list."""
        names = [name for name, part in self.__dataclass_fields__.items() if part.metadata.get("counted")]
        return {name: len(getattr(self, name)) for name in names}

    def summary(self) -> str:
        """Return one line for the log."""
        counts = ", ".join(f"{number} {name.replace('_', '-')}" for name, number in self.counts().items())
        layout = "" if self.layout == "plain" else f" ({self.layout})"
        return f"pretrained weights {self.path}{layout}: {counts}; {self.encoder_share:.1%} of the encoder"

    def __str__(self) -> str:
        """Return the summary, and a line for each list of keys that were not loaded or not loaded unchanged."""
        lines = [self.summary()]
        for name, meaning in MEANINGS.items():
            keys = getattr(self, name)
            if keys:
                more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
                lines.append(f"  {meaning}: {', '.join(keys[:3])}{more}")
        lines += [f"  differs: {line}" for line in self.view_differences + self.network_differences]
        lines += [f"  note: {line}" for line in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {**asdict(self), "counts": self.counts()}
