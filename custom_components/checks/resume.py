"""Check: can the run be resumed, and is it still the same run?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.data import datalist_hash
from custom_components.data.names import Item
from custom_components.transfer import differing_tensors, plain, read_resume_checkpoint

Path = tuple[str, ...]
_LISTED = 3


class Resume:
    """A resume file must be readable, fit the networks and the settings of the config, and have epochs left.

    Args:
        path: the file; None: the run starts afresh, and nothing is checked.
        objects: names of what is restored besides the trainer.
        epochs: length of the whole run.
        networks: name of a restored network -> the network, or what builds it; tensors are compared with the
            file's.
        settings: config key -> value, compared with those that the file records. A file of an earlier version
            records none.
        items: the training cases, compared with the file's ``datalist_hash``; None: not compared.
        dataset_dir: the data folder, for that hash.
    """

    def __init__(
        self,
        path: str | None,
        objects: Sequence[str],
        epochs: int,
        networks: Mapping[str, nn.Module | Callable[[], nn.Module]] | None = None,
        settings: Mapping[str, Any] | None = None,
        items: Sequence[Item] | None = None,
        dataset_dir: str = "",
    ) -> None:
        self.path, self.objects, self.epochs = path, objects, epochs
        self.networks, self.settings = dict(networks or {}), dict(settings or {})
        self.items, self.dataset_dir = items, dataset_dir

    def __call__(self) -> str | None:
        """Return the epoch that the run continues from; raise ValueError naming the file and what differs."""
        if self.path is None:
            return None
        content = read_resume_checkpoint(self.path, [*self.objects, "trainer"])
        recorded = dict(content.get("settings") or {})
        warnings = self._compare_cases(recorded.pop("datalist_hash", None))
        self._compare_settings(recorded)
        for name, made in self.networks.items():
            network = made if isinstance(made, nn.Module) else made()
            wrong = differing_tensors(network.state_dict(), content[name])
            if wrong:
                raise ValueError(
                    f"{self.path} does not fit this {type(network).__name__}: {len(wrong)} tensors differ"
                    f" ({', '.join(wrong[:_LISTED])}); resume with the layers that the run began with"
                )
        done = content["trainer"]["epoch"]
        if done >= self.epochs:
            raise ValueError(f"{self.path} is at epoch {done} and epochs is {self.epochs}; ask for more epochs")
        return "\n".join([f"continues after epoch {done}", *warnings])

    def _compare_cases(self, recorded: str | None) -> list[str]:
        """Return a warning if the training cases changed: cases may be added, but none may have been validated."""
        if recorded is None or self.items is None or datalist_hash(self.items, self.dataset_dir) == recorded:
            return []
        return [f"warning: the training cases are not those that {self.path} was trained on; scores may be biased"]

    def _compare_settings(self, recorded: Mapping[str, Any]) -> None:
        """Raise ValueError naming each key that changed, its value then and now."""
        if not recorded:
            return
        then, now = (dict(flat_settings(plain(settings))) for settings in (recorded, self.settings))
        changed = {
            key: f"{key[-1]} was {then[key]} and is {now[key]}"
            for key in then
            if key in now and then[key] != now[key]
        }
        # An argument that only one side states: the other one has the default.
        changed |= {key: f"{key[-1]} was {then[key]} and is not set" for key in then if key not in now}
        changed |= {key: f"{key[-1]} was not set and is {now[key]}" for key in now if key not in then}
        if changed:
            raise ValueError(
                f"{self.path} belongs to a run with other settings: {'; '.join(changed.values())}. Resume with the"
                " former values, or start a new run in another ckpt_dir (--pretrained keeps the weights)"
            )


def flat_settings(settings: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the innermost keys, as paths, and their values; a class has the name of what it is the class of."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, (*path, key))
        else:
            yield (path if key == "class" and path else (*path, key)), value
