"""A bundle's inference config as an object that segments one case after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.io.dictionary import LoadImaged, SaveImaged

from custom_components.checks import NetworkShape
from custom_components.checks.intensities import hu_window
from custom_components.config_text import quoted
from custom_components.data import read_volume
from custom_components.data.volumes import check_non_finite
from custom_components.faults import first_cause
from custom_components.inference import AveragingInferer, OnnxNetwork
from custom_components.number_checks import check_switch
from custom_components.transfer import file_sha256
from custom_components.transfer.checks import compare_card, load_complete
from mim3d.segment.config import FIXED, build_workflow, check_keys, config_files, merged_config, parse_value
from mim3d.segment.intensities import odd_intensities
from mim3d.segment.marker import digest_of_settings
from mim3d.segment.memory import check_memory
from mim3d.segment.weights import load_encoder

#: What a config of segmentation has, beside the network.
_NEEDED = ("channels", "label_names", "preprocessing", "inferer", "postprocessing")
#: Keys that add an output and change no mask.
_ADDS = ("save_probabilities",)


class Segmented(NamedTuple):
    """What a case gives, on the voxels of its first file as they are stored.

    Attributes:
        mask: uint8 ``(X, Y, Z)``.
        probabilities: float32 ``(X, Y, Z, C)``, one channel per output of the network; None if not asked for.
    """

    mask: np.ndarray
    probabilities: np.ndarray | None


class Segmenter:
    """The network of a bundle with its weights, and the transforms around it, built once.

    Args:
        bundle: the bundle's folder.
        layers: names in its configs, or paths.
        weights: the file; None: the bundle's models/model.pt.
        keys: further keys of the config and their values, as on a command line.
        encoder_only: the weights need only hold the encoder, as those of pretraining do; the rest stays random.

    Raises:
        ValueError: for a pretraining bundle, an unknown layer or key, and weights that cannot be used.
    """

    def __init__(
        self,
        bundle: Path,
        layers: Sequence[str],
        weights: Path | None,
        keys: Mapping[str, str] | None = None,
        encoder_only: bool = False,
    ) -> None:
        files = config_files(bundle, layers)
        check_keys(files, keys or {})
        overrides = {key: parse_value(written) for key, written in (keys or {}).items()}
        self.workflow = build_workflow(files, bundle_root=quoted(str(bundle)), **overrides)
        missing = [key for key in _NEEDED if key not in self.workflow.parser]
        if missing:
            raise ValueError(f"{bundle.name} is no segmentation bundle: its inference config lacks {missing[0]}")
        self.channels: list[str] = self._get("channels")
        self.roi_size: list[int] = self._get("roi_size")
        self.non_finite: str = self._get("non_finite")
        check_non_finite(self.non_finite)
        scaled = self._get("intensity") if "intensity" in self.workflow.parser else None
        self.window = hu_window(scaled, self.channels)
        self.device = torch.device(self._get("device"))
        self.inferer = self._get("inferer")
        self.inferer.progress = sys.stderr.isatty()  # no bar in a log file
        members = self.inferer.members if isinstance(self.inferer, AveragingInferer) else None
        if members and weights:
            raise ValueError(f"--weights {weights} is for one network; give --ensemble_weights only")
        self.weights = weights or Path(self._get("weights"))
        self.network, self.notes = self._network(encoder_only)
        if isinstance(self.inferer, AveragingInferer):
            self.inferer.check()
        for further in members.further if members else []:
            self.notes += self._card_notes(further)
        self.preprocessing, self.postprocessing = self._get("preprocessing"), self._get("postprocessing")
        # Files are read and written by custom_components.data, which refuses more and keeps the whole header.
        for chain in (self.preprocessing, self.postprocessing):
            chain.transforms = [t for t in chain.transforms if not isinstance(t, (LoadImaged, SaveImaged))]
        self.probabilities = bool(
            self.workflow.parser.get("save_probabilities") and self._get("save_probabilities")
        )
        self.amp = self._switch("amp")
        self.config = merged_config(files, overrides)
        stated = {key: value for key, value in self.config.items() if key not in (*FIXED, *_ADDS, "device")}
        files_read = [self.weights, *(members.further if members else [])]
        self.settings = digest_of_settings(
            {**stated, "weights_sha256": [file_sha256(file) for file in files_read]}
        )

    def _get(self, key: str) -> Any:
        try:
            return self.workflow.parser.get_parsed_content(key)
        except Exception as error:  # whatever a class in the config raises
            raise ValueError(f"{key} cannot be built with these layers and keys: {first_cause(error)}") from error

    def _switch(self, key: str) -> bool:
        """Return a key that is true or false; false if the config, of an older bundle, lacks it."""
        value = self._get(key) if key in self.workflow.parser else False
        check_switch(value, key)
        return bool(value)

    def _network(self, encoder_only: bool) -> tuple[torch.nn.Module, list[str]]:
        """Return the checked network with its weights, and how their card and the config differ."""
        network, outputs = self._get("network_def"), self._get("output_names")
        if isinstance(network, OnnxNetwork):  # holds its weights
            if encoder_only:
                raise ValueError(f"{self.weights} is an export; features need the weights of the network")
            network.file = self.weights
            network.check(self.channels, outputs, self.roi_size)
            return network.eval(), []
        NetworkShape(network, self.roi_size, self.channels, outputs)()
        notes = self._card_notes(self.weights, with_labels=not encoder_only)
        load = load_encoder if encoder_only else load_complete
        load(network, str(self.weights))
        return network.to(self.device).eval(), notes

    def _card_notes(self, weights: Path, with_labels: bool = True) -> list[str]:
        """Return how a weights card and the config differ; raise ValueError if the task does."""
        stated = {key: self._get(key) for key in ("channels", "orientation", "spacing", "roi_size")}
        return compare_card(str(weights), stated, self._get("label_names") if with_labels else None)

    def check_memory(self, files: Sequence[Path]) -> None:
        """Check that a case fits into memory, from its headers.

        Raises:
            ValueError: for a header that cannot be read, and for a case that does not fit.
        """
        stitch_device = torch.device(self._get("sw_output_device"))
        outputs = len(self._get("output_names"))
        check_memory(files, self._get("spacing"), self.roi_size, outputs, stitch_device, self.probabilities)

    def prepare(self, files: Sequence[Path], warn: Callable[[str], object] = print) -> dict[str, Any]:
        """Read a case and bring it onto the network's grid.

        Args:
            files: one file, or one per channel in order.
            warn: called with a line for each channel whose intensities are not what the network was trained on,
                such as CT that is not stored in HU.

        Returns:
            ``image``, float32 ``(C, D, H, W)``, with what the postprocessing needs.

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
        item: dict[str, Any] = self.preprocessing({"image": image})
        return item

    def predict(self, image: torch.Tensor, network: torch.nn.Module | None = None) -> torch.Tensor:
        """Run the sliding windows over an image ``(C, D, H, W)``.

        Args:
            image: as `prepare` returns it.
            network: computed in the place of the bundle's network.

        Returns:
            The stitched output ``(outputs, D, H, W)``, before softmax or sigmoid.
        """
        enabled = self.amp and self.device.type == "cuda"
        given = torch.as_tensor(image)[None].to(self.device)
        with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            stitched: torch.Tensor = self.inferer(given, network or self.network)[0]
        return stitched

    def to_classes(self, output: torch.Tensor) -> torch.Tensor:
        """Map a network's output ``(outputs, D, H, W)`` to values of the label map ``(1, D, H, W)``."""
        labels: torch.Tensor = self._get("to_labels")({"pred": output})["pred"]
        return torch.as_tensor(labels)

    def segment(self, files: Sequence[Path], warn: Callable[[str], object] = print) -> Segmented:
        """Segment a case.

        Args:
            files: one file, or one per channel in order.
            warn: as in `prepare`.

        Raises:
            ValueError: for a file that cannot be read; names the file.
        """
        item = self.prepare(files, warn)
        item["pred"] = self.predict(item["image"].as_tensor())
        item = self.postprocessing(item)
        mask: np.ndarray = item["pred"][0].cpu().numpy().astype(np.uint8)
        if not self.probabilities:
            return Segmented(mask, None)
        return Segmented(mask, np.moveaxis(item["probabilities"].cpu().numpy(), 0, -1))
