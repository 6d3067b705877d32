"""A section of a data list that a config can hold before the list is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from custom_components.data.names import Item
from custom_components.distributed import rank

if TYPE_CHECKING:
    from custom_components.data.lists import DataList


class Section(Sequence[Item]):
    """Items of a data list, read when first needed; an error then ends the program with one line.

    A config is resolved before its checks run, so that the list must not be read earlier than that: a misspelled
    override is reported first. MONAI wraps every Exception that is raised while a config is resolved in a
    traceback; SystemExit passes.

    Args:
        data_list: the list.
        section: a section's name, or several.

    Raises:
        SystemExit: on reading, where `DataList.items` raises; with the message on rank 0.
    """

    def __init__(self, data_list: DataList, section: str | Sequence[str]) -> None:
        self.data_list, self.section = data_list, section

    @property
    def _items(self) -> list[Item]:
        return self._or_end(self.data_list._kept)

    def listed(self) -> list[Item]:
        """Return `DataList.listed`."""
        return self._or_end(self.data_list.listed)

    def _or_end(self, read: Callable[[str | Sequence[str]], list[Item]]) -> list[Item]:
        try:
            return read(self.section)
        except (ValueError, OSError) as error:
            raise SystemExit("error: " + " ".join(str(error).split()) if rank() == 0 else 1) from None

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]
