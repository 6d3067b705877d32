"""A bundle's inference config as an object that segments one case after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.io.dictionary import LoadImaged, SaveImaged

from custom_components.checks import NetworkShape
from custom_components.checks.intensities import describe_volume, hu_window
from custom_components.config_text import quoted
from custom_components.data import read_volume
from custom_components.data.volumes import check_non_finite
from custom_components.faults import first_cause
from custom_components.number_checks import check_switch
from custom_components.transfer import file_sha256, read_weights
from custom_components.transfer.checks import check_weights_complete, compare_card
from mim3d.segment.config import FIXED, build_workflow, check_keys, config_files, merged_config, parse_value
from mim3d.segment.marker import digest_of_settings
from mim3d.segment.memory import check_memory

#: What a config of segmentation has, beside the network.
_NEEDED = ("channels", "label_names", "preprocessing", "inferer", "postprocessing")


class Segmenter:
    """The network of a bundle with its weights, and the transforms around it, built once.

    Args:
        bundle: the bundle's folder.
        layers: names in its configs, or paths.
        weights: the file; None: the bundle's models/model.pt.
        keys: further keys of the config and their values, as on a command line.

    Raises:
        ValueError: for a pretraining bundle, an unknown layer or key, and weights that cannot be used.
    """

    def __init__(
        self, bundle: Path, layers: Sequence[str], weights: Path | None, keys: Mapping[str, str] | None = None
    ) -> None:
        files = config_files(bundle, layers)
        check_keys(files, keys or {})
        overrides = {key: parse_value(written) for key, written in (keys or {}).items()}
        self.workflow = build_workflow(files, bundle_root=quoted(str(bundle)), **overrides)
        missing = [key for key in _NEEDED if key not in self.workflow.parser]
        if missing:
            raise ValueError(f"{bundle.name} is no segmentation bundle: its inference config lacks {missing[0]}")
        self.channels: list[str] = self._get("channels")
        self.non_finite: str = self._get("non_finite")
        check_non_finite(self.non_finite)
        scaled = self._get("intensity") if "intensity" in self.workflow.parser else None
        self.window = hu_window(scaled, self.channels)
        self.device = torch.device(self._get("device"))
        network_def = self._get("network_def")
        NetworkShape(network_def, self._get("roi_size"), self.channels, self._get("output_names"))()
        self.weights = weights or bundle / "models" / "model.pt"
        self.notes = self._load(network_def)
        self.network = network_def.to(self.device).eval()
        self.preprocessing, self.postprocessing = self._get("preprocessing"), self._get("postprocessing")
        # Files are read and written by custom_components.data, which refuses more and keeps the whole header.
        for chain in (self.preprocessing, self.postprocessing):
            chain.transforms = [t for t in chain.transforms if not isinstance(t, (LoadImaged, SaveImaged))]
        self.inferer = self._get("inferer")
        self.inferer.progress = sys.stderr.isatty()  # no bar in a log file
        self.amp = self._get("amp")
        check_switch(self.amp, "amp")
        config = {
            key: value for key, value in merged_config(files, overrides).items() if key not in (*FIXED, "device")
        }
        self.settings = digest_of_settings({**config, "weights_sha256": file_sha256(self.weights)})

    def _get(self, key: str) -> Any:
        try:
            return self.workflow.parser.get_parsed_content(key)
        except Exception as error:  # whatever a class in the config raises
            raise ValueError(f"{key} cannot be built with these layers and keys: {first_cause(error)}") from error

    def _load(self, network: torch.nn.Module) -> list[str]:
        """Load the weights, and return how their card and the config differ."""
        path = str(self.weights)
        check_weights_complete(network, path)
        stated = {key: self._get(key) for key in ("channels", "orientation", "spacing")}
        notes = compare_card(path, stated, self._get("label_names"))
        state = read_weights(path)
        network.load_state_dict({key: state[key] for key in network.state_dict()})
        return notes

    def check_memory(self, files: Sequence[Path]) -> None:
        """Check that a case fits into memory, from its headers.

        Raises:
            ValueError: for a header that cannot be read, and for a case that does not fit.
        """
        stitch_device = torch.device(self._get("sw_output_device"))
        outputs = len(self._get("output_names"))
        check_memory(files, self._get("spacing"), self._get("roi_size"), outputs, stitch_device)

    def segment(self, files: Sequence[Path], warn: Callable[[str], object] = print) -> np.ndarray:
        """Segment a case.

        Args:
            files: one file, or one per channel in order.
            warn: called with a line for each channel whose intensities are not what the network was trained on,
                such as CT that is not stored in HU.

        Returns:
            The mask, uint8 ``(X, Y, Z)``, on the voxels of the first file as they are stored.

        Raises:
            ValueError: for a file that cannot be read; names the file.
        """
        values, affine = read_volume(list(files), self.non_finite)
        if len(values) != len(self.channels):
            raise ValueError(
                f"{files[0]} has {len(values)} channel(s); needed: one 4D file with {', '.join(self.channels)}, or"
                " one file for each"
            )
        for line in odd_intensities(values, self.channels, self.window):
            warn(line)
        image = MetaTensor(torch.from_numpy(np.ascontiguousarray(values)), affine=torch.from_numpy(affine))
        item = self.preprocessing({"image": image})
        del values, image
        enabled = self.amp and self.device.type == "cuda"
        with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            window_input = item["image"].as_tensor()[None].to(self.device)
            item["pred"] = self.inferer(window_input, self.network)[0]
        del window_input  # the postprocessing needs the memory
        mask: np.ndarray = self.postprocessing(item)["pred"][0].cpu().numpy().astype(np.uint8)
        return mask


def odd_intensities(volumes: np.ndarray, channels: Sequence[str], window: tuple[float, float] | None) -> list[str]:
    """Return a line for each channel that training would warn of.

    Args:
        volumes: ``(C, X, Y, Z)``, finite, as stored.
        channels: their names.
        window: lower and upper end in HU of the config's window; None: intensities without a unit.
    """
    found = [(name, *describe_volume(volume, window)) for name, volume in zip(channels, volumes, strict=True)]
    return [
        f"{name} holds {low:g} to {high:g}: {finding.looks}; {finding.advice}"
        for name, low, high, finding in found
        if finding
    ]
