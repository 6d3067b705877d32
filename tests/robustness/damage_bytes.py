"""Damage to bytes: of files as they lie on the disk, and of NIfTI headers in otherwise whole files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tests.robustness.damage import Damage, any_file, any_image, damage, stem


def _bytes(path: Path) -> bytearray:
    raw = path.read_bytes()
    return bytearray(gzip.decompress(raw) if path.name.endswith(".gz") else raw)


def _store(path: Path, raw: bytes) -> None:
    path.write_bytes(gzip.compress(bytes(raw), mtime=0) if path.name.endswith(".gz") else raw)


@damage("bytes")
def flipped_bytes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    raw = bytearray((data / name).read_bytes())
    places = sorted(int(place) for place in rng.integers(len(raw), size=rng.choice([1, 1, 5])))
    for place in places:
        raw[place] ^= int(rng.integers(1, 256))
    (data / name).write_bytes(raw)
    return Damage(f"{name}: bytes {places} of {len(raw)} changed", (stem(name),))


@damage("bytes")
def truncated(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    raw = (data / name).read_bytes()
    kept = int(rng.integers(0, len(raw)))
    (data / name).write_bytes(raw[:kept])
    return Damage(f"{name}: {kept} of {len(raw)} bytes kept", (stem(name),), "refused")


@damage("bytes")
def zeroed_block(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    raw = bytearray((data / name).read_bytes())
    start = int(rng.integers(len(raw)))
    length = int(rng.integers(1, 512))
    raw[start : start + length] = bytes(len(raw[start : start + length]))
    (data / name).write_bytes(raw)
    return Damage(f"{name}: bytes {start} to {start + length} of {len(raw)} are 0", (stem(name),))


@damage("bytes")
def other_content(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    contents = {
        "an HTML page": b"<!DOCTYPE html><html>",
        "text": b"see readme\n",
        "nothing": b"",
        "zeros": bytes(999),
    }
    what = str(rng.choice(list(contents)))
    (data / name).write_bytes(contents[what])
    return Damage(f"{name}: holds {what}", (stem(name),), "refused")


@damage("bytes")
def wrong_suffix(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    path = data / name
    raw = bytes(_bytes(path))
    path.write_bytes(raw if name.endswith(".gz") else gzip.compress(raw))
    return Damage(f"{name}: {'not ' if name.endswith('.gz') else ''}compressed", (stem(name),), "refused")


@damage("bytes")
def bytes_behind_the_end(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    added = bytes(rng.integers(0, 256, int(rng.integers(1, 64)), dtype=np.uint8))
    _store(data / name, bytes(_bytes(data / name)) + added)
    return Damage(f"{name}: {len(added)} bytes behind the voxels", (stem(name),))


@damage("bytes")
def several_gzip_members(rng: np.random.Generator, data: Path) -> Damage:
    name = str(rng.choice(["imagesTr/c0.nii.gz", "labelsTr/c1.nii.gz", "imagesUn/u0.nii.gz"]))
    raw = bytes(_bytes(data / name))
    cut = int(rng.integers(1, len(raw)))
    (data / name).write_bytes(gzip.compress(raw[:cut]) + gzip.compress(raw[cut:]))
    return Damage(f"{name}: two gzip members, cut at {cut}", (stem(name),), "right")


_ODD = (0, -1, 1, 2, 255, 32767, -32768)
_ODD_FLOATS = (0.0, -1.0, np.nan, np.inf, 1e-30, 1e30, 1000.0, 0.5)
#: Field -> values that it may get, and the number of its elements that may change (None: no array).
_FIELDS: dict[str, tuple[tuple[Any, ...], int | None]] = {
    "dim": (_ODD, 8),
    "pixdim": (_ODD_FLOATS, 8),
    "datatype": ((0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 77), None),
    "bitpix": ((0, 1, 8, 64), None),
    "xyzt_units": ((0, 1, 2, 3, 4, 8, 10, 11, 49, 255), None),
    "sform_code": ((0, 1, 4, 9, -1), None),
    "qform_code": ((0, 1, 4, 9, -1), None),
    "vox_offset": ((0.0, 348.0, 353.0, 1e9, -8.0, np.nan), None),
    "scl_slope": ((0.0, np.nan, np.inf, -1.0, 2.0, 1e-3), None),
    "scl_inter": ((np.nan, np.inf, 100.0, -1e30), None),
    "srow_x": (_ODD_FLOATS, 4),
    "srow_z": (_ODD_FLOATS, 4),
    "quatern_b": (_ODD_FLOATS, None),
    "qoffset_x": (_ODD_FLOATS, None),
    "magic": ((b"n+2", b"ni1", b"", b"\xff\xff"), None),
    "sizeof_hdr": ((0, 347, 540, -348), None),
}


def _with_header(path: Path, change: dict[str, Any]) -> None:
    raw = _bytes(path)
    header = np.frombuffer(bytes(raw[:348]), nib.Nifti1Header.template_dtype).copy()
    for field, value in change.items():
        header[field] = value
    raw[:348] = header.tobytes()
    _store(path, bytes(raw))


@damage("header")
def header_field(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    raw = _bytes(data / name)
    header = np.frombuffer(bytes(raw[:348]), nib.Nifti1Header.template_dtype)[0]
    field = str(rng.choice(list(_FIELDS)))
    values, length = _FIELDS[field]
    value = values[rng.integers(len(values))]
    new = np.array(header[field]).copy() if length else value
    if length:
        new[rng.integers(length)] = value
    _with_header(data / name, {field: new})
    return Damage(f"{name}: header field {field} is {new}", (stem(name),))


@damage("header")
def header_codes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    codes = {"sform_code": int(rng.integers(0, 5)), "qform_code": int(rng.integers(0, 5))}
    _with_header(data / name, codes)
    # Without both codes the affine is made from the voxel size, so that image and label may not agree.
    return Damage(f"{name}: {codes}", (stem(name),), "right" if max(codes.values()) > 0 else "either")


@damage("header")
def header_units(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    unit = str(rng.choice(["meter", "mm", "micron", "unknown"]))
    path = data / name
    raw = _bytes(path)
    header = nib.Nifti1Header(bytes(raw[:348]))
    header.set_xyzt_units(unit)
    _with_header(path, {"xyzt_units": header["xyzt_units"]})
    return Damage(f"{name}: unit {unit}", (stem(name),), "right" if unit in ("mm", "unknown") else "either")


@damage("header")
def sform_and_qform_differ(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    shift = float(rng.choice([1e-4, 1e-2, 5.0]))
    raw = _bytes(data / name)
    header = np.frombuffer(bytes(raw[:348]), nib.Nifti1Header.template_dtype)[0]
    _with_header(data / name, {"qoffset_x": header["qoffset_x"] + shift})
    return Damage(f"{name}: qform {shift} mm beside sform", (stem(name),), "right")
