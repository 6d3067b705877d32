"""Checks of a packed bundle's training config: when it validates, which metrics it names, what it saves."""

from __future__ import annotations

from mim3d.verify.config_ids import at, entries, targets
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check

#: What BestCheckpoint may save as model.pt: the moving average of what `ema` averages: the network (segmentation),
#: or a pretext network with the network inside (pretraining).
SAVED_NETWORKS = {"@network_def": "$@ema.module", "@pretext": "$@ema.module.network"}


@check("val_interval", "configs")
def val_interval(packed: Packed) -> str:
    """One ValidationHandler validates every ``val_interval`` epochs."""
    found = [h for h in at(packed.config("train"), "train#handlers") or [] if "ValidationHandler" in targets([h])]
    want(len(found) == 1, f"{len(found)} ValidationHandler", "one in train#handlers")
    want(found[0].get("interval") == "@val_interval", found[0].get("interval"), "interval: '@val_interval'")
    want(found[0].get("validator") == "@validate#evaluator", found[0].get("validator"), "'@validate#evaluator'")
    return ""


@check("metric and key names", "configs")
def metric_names(packed: Packed) -> str:
    """Savers and reports name metrics that exist."""
    config = packed.config("train")
    metrics = packed.parsed("validate#key_metric", "train")
    known = {*metrics}
    chosen = packed.parsed("key_metric", "train") if "key_metric" in config else None
    want(chosen is None or chosen in known, f"key_metric {chosen}", f"one of {', '.join(sorted(known))}")
    for names in [("inference",), *packed.trains]:
        for path, value in entries(packed.config(*names)):
            if not isinstance(value, dict) or "_target_" not in value:
                continue
            asked = [value.get("key_metric_name"), *(value.get("metrics") or [])]
            odd = [name for name in asked if isinstance(name, str) and name[:1] not in "@$*" and name not in known]
            want(not odd, f"{path}: {', '.join(odd)}", f"one of {', '.join(sorted(known))}")
    return f"key_metric {chosen}"


@check("model.pt is saved flat", "configs")
def model_is_saved_flat(packed: Packed) -> str:
    """A saver of the best weights writes one network into models/model.pt; several would nest the state dict."""
    config = packed.config("train")
    folder = packed.parsed("ckpt_dir", "train")
    want(folder == str(packed.root / "models"), f"ckpt_dir {folder}", "models in the bundle")
    averaged = at(config, "ema#network")
    networks = ["@network_def"]
    if averaged in SAVED_NETWORKS and at(config, "make_pretext#network") in (None, "@network_def"):
        networks.append(SAVED_NETWORKS[averaged])
    flat = []
    for path, value in entries(config):
        kind = targets([value])[0] if isinstance(value, dict) else ""
        if kind == "CheckpointSaver":
            flat += [path] if len(value.get("save_dict", {})) == 1 else []
        elif kind == "BestCheckpoint":
            flat += [path] if value.get("files", {}).get("model.pt") in networks else []
    want(flat, "no such saver", "BestCheckpoint or CheckpointSaver that writes network_def alone into model.pt")
    return flat[0]
