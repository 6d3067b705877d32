"""The hash of a data list."""

from __future__ import annotations

from custom_components.data import datalist_hash


def test_hash_depends_on_names_and_neither_on_order_nor_on_place() -> None:
    items = [{"image": "/x/a.nii", "label": "/x/l.nii"}, {"image": ["/x/b.nii", "/x/c.nii"]}]
    value = datalist_hash(items, "/x")
    assert len(value) == 64
    assert value == datalist_hash(items[::-1], "/x")
    assert value == datalist_hash([{"image": "a.nii", "label": "l.nii"}, {"image": ["b.nii", "c.nii"]}])
    assert value != datalist_hash(items[:1], "/x")
