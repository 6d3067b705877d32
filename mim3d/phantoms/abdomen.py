"""CT of the upper abdomen: thirteen organs, each posed and deformed, with the brightness of a contrast phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .abdomen_atlas import BTCV_LABELS, ORGANS, PHASES, TISSUES, Organ
from .canvas import Canvas, Region
from .fields import grain
from .shapes import Ball, Floats, Pose, Tube, corners, draw_pose
from .trunk import WALL_HALF_AXES, draw_trunk
from .volume_grid import Grid, make_grid

#: Size -> ranges from which the voxel size is drawn, in mm: in plane, and between slices.
SPACINGS = {
    "tiny": ((4.6, 5.6), (5.0, 6.5)),
    "small": ((2.9, 3.7), (3.2, 4.4)),
    "full": ((1.1, 1.5), (1.5, 3.0)),
}
#: Class of liver tumours; it follows the classes of BTCV.
TUMOUR_LABEL = len(BTCV_LABELS)
_BEND = ((110.0, 5.0), (45.0, 1.8))
_HU_RANGE = (-1024, 3071)


@dataclass
class Abdomen:
    """A drawn case.

    Attributes:
        canvas: intensities and labels.
        phase: contrast phase, one of ``PHASES``.
        poses: organ -> its pose.
        depths: organ -> its region and the signed distance (mm) to its surface there.
    """

    canvas: Canvas
    phase: str
    poses: dict[str, Pose]
    depths: dict[str, tuple[Region, Floats]]


def draw_abdomen(size: str, codes: str, rng: np.random.Generator, tumours: bool = False) -> Abdomen:
    """Draw one case on its own random grid.

    Args:
        size: key of ``SPACINGS``.
        codes: axis codes in which the case will be stored.
        rng: source of everything that differs between cases.
        tumours: whether to draw one to four tumours in the liver, with class ``TUMOUR_LABEL``.

    Returns:
        The case: HU as float in ``canvas.values[0]``, BTCV classes in ``canvas.labels``.
    """
    scale = (rng.uniform(0.9, 1.08), rng.uniform(0.92, 1.08), rng.uniform(0.92, 1.08))
    fat = rng.uniform(7, 26)
    canvas = Canvas(_field_of_view(size, codes, scale, fat, rng), 1, _BEND, scale, rng)
    phase = str(rng.choice(PHASES, p=(0.25, 0.25, 0.5)))
    brightness = _Brightness(canvas, PHASES.index(phase), rng)
    cavity = draw_trunk(canvas, fat, brightness.everywhere)
    case = Abdomen(canvas, phase, {}, {})
    for organ in (*_bowel_loops(rng), *ORGANS):
        _draw_organ(case, organ, cavity, brightness, rng)
        if tumours and organ.name == "portal branches":
            _draw_tumours(case, brightness, rng)
    _blur_and_noise(canvas, rng)
    return case


def to_int16(canvas: Canvas) -> np.ndarray:
    """Return the canvas's HU, rounded and clipped to the range of a 12-bit scanner."""
    return np.clip(np.rint(canvas.values[0]), *_HU_RANGE).astype(np.int16)


class _Brightness:
    """HU of each tissue in one case: the mean of the phase, an offset of the case, and texture."""

    def __init__(self, canvas: Canvas, phase: int, rng: np.random.Generator) -> None:
        self.mean = {name: t.hu[phase] + t.spread * float(rng.normal()) for name, t in TISSUES.items()}
        # Keep tumours at least 18 HU darker than the liver, so that they are visible in every case.
        self.mean["tumour"] = min(self.mean["tumour"], self.mean["liver"] - 18)
        spacing = np.asarray(canvas.grid.spacing)
        shape = canvas.grid.shape
        # Coarse texture (7 mm) and fine texture (3 mm) add up to unit variance.
        coarse, fine = (grain(shape, (mm / spacing).tolist(), rng) for mm in (3.5, 1.5))
        self.texture = (0.8 * coarse + 0.6 * fine).astype(np.float32)

    def everywhere(self, tissue: str) -> Floats:
        return (self.mean[tissue] + TISSUES[tissue].texture * self.texture).astype(np.float32)

    def within(self, tissue: str, region: Region) -> Floats:
        return (self.mean[tissue] + TISSUES[tissue].texture * self.texture[region]).astype(np.float32)


def _field_of_view(
    size: str, codes: str, scale: tuple[float, float, float], fat: float, rng: np.random.Generator
) -> Grid:
    in_plane, slices = SPACINGS[size]
    spacing = rng.uniform(*in_plane)
    # Pixels are square in plane, as on a scanner. The field of view is the body with a margin of air.
    half_x = (WALL_HALF_AXES[0] + 1.2 * fat) * scale[0] + rng.uniform(8, 22)
    half_y = (WALL_HALF_AXES[1] + fat) * scale[1] + rng.uniform(8, 22)
    low = (-half_x, -half_y, -rng.uniform(108, 128) * scale[2])
    high = (half_x, half_y, rng.uniform(112, 126) * scale[2])
    return make_grid(low, high, (spacing, spacing, rng.uniform(*slices)), codes)


def _bowel_loops(rng: np.random.Generator) -> list[Organ]:
    """Return small-bowel loops in front of the kidneys: unlabelled, and as bright as the stomach."""
    loops = []
    for number in range(int(rng.integers(7, 12))):
        place = rng.uniform((-72, -2, -140), (66, 62, -40))
        heading = rng.uniform(0, 2 * np.pi)
        points = []
        for _ in range(4):
            x, y, z = (float(v) for v in place)
            points.append((x, y, z, float(rng.uniform(9, 13))))
            place = place + 22 * np.array([np.cos(heading), 0.7 * np.sin(heading), 0.3 * rng.normal()])
            heading += rng.uniform(0.6, 1.4)
        loops.append(
            Organ(
                f"bowel loop {number}",
                0,
                "gut content",
                (Tube(tuple(points)),),
                shell=(3.0, "gut wall"),
                inside="cavity",
                gas=bool(rng.random() < 0.3),
            )
        )
    return loops


def _draw_organ(
    case: Abdomen, organ: Organ, cavity: Floats, brightness: _Brightness, rng: np.random.Generator
) -> None:
    canvas = case.canvas
    own = draw_pose(organ.parts, organ.shift, organ.turn, organ.grow, rng)
    pose = case.poses[organ.moves_with] if organ.moves_with else own
    case.poses[organ.name] = pose
    region = canvas.box(organ.parts, pose, margin=organ.blend + 2 * canvas.width)
    depth = canvas.depth(organ.parts, pose, region, organ.blend, organ.cuts)
    if organ.inside == "cavity":
        depth = np.maximum(depth, cavity[region])
    elif organ.inside:
        depth = np.maximum(depth, _depth_in(case, organ.inside, region))
    case.depths[organ.name] = (region, depth)
    share = canvas.share(depth)
    if organ.shell is None:
        canvas.paint(region, share, brightness.within(organ.tissue, region)[None], organ.label)
        return
    thickness, coat = organ.shell
    canvas.paint(region, share, brightness.within(coat, region)[None], organ.label)
    inner = depth + thickness
    canvas.paint(region, canvas.share(inner), brightness.within(organ.tissue, region)[None], None)
    if organ.gas:
        _draw_gas(canvas, region, inner, brightness, rng)


def _draw_gas(
    canvas: Canvas, region: Region, inner: Floats, brightness: _Brightness, rng: np.random.Generator
) -> None:
    """Draw gas above a level fluid surface; how much differs between cases."""
    filled = rng.uniform(0.45, 1.1)
    forward = canvas.body[(1, *region)]
    lumen = forward[inner < 0]
    if lumen.size == 0:
        return
    level = float(np.quantile(lumen, min(filled, 1.0)))
    gas = np.maximum(inner + 0.5, level - forward).astype(np.float32)
    if filled < 1:
        canvas.paint(region, canvas.share(gas), brightness.within("gas", region)[None], None)


def _depth_in(case: Abdomen, name: str, region: Region) -> Floats:
    """Return an earlier organ's signed distance (mm) in a region; 1000 outside the organ's own box."""
    whole = np.full(case.canvas.grid.shape, 1e3, np.float32)
    source, depth = case.depths[name]
    whole[source] = depth
    return whole[region]


def _draw_tumours(case: Abdomen, brightness: _Brightness, rng: np.random.Generator) -> None:
    """Draw one to four irregular tumours, darker than the liver and completely inside it."""
    canvas = case.canvas
    region, depth = case.depths["liver"]
    deep = np.argwhere(depth < 0.5 * float(depth.min()))
    for _ in range(int(rng.integers(1, 5))):
        spot = tuple(deep[rng.integers(len(deep))])
        centre = canvas.body[(slice(None), *region)][(slice(None), *spot)].astype(float)
        radius = rng.uniform(8, 24)
        lumps = [
            Ball(tuple(centre + rng.normal(0, radius * 0.45, 3)), tuple(radius * rng.uniform(0.5, 0.8, 3)))
            for _ in range(2)
        ]
        parts = (Ball(tuple(centre), tuple(radius * rng.uniform(0.75, 1.1, 3))), *lumps)
        low, high = corners(parts)
        still = Pose((low + high) / 2, np.zeros(3), np.eye(3), 1.0)
        box = canvas.box(parts, still, margin=2 * canvas.width + 4)
        lump = canvas.depth(parts, still, box, blend=5)
        lump = np.maximum(lump, _depth_in(case, "liver", box) + 1.0)
        canvas.paint(box, canvas.share(lump), brightness.within("tumour", box)[None], TUMOUR_LABEL)


def _blur_and_noise(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add scanner noise of 8 to 18 HU, correlated over about one voxel in plane."""
    sd = rng.uniform(8, 18)
    canvas.add(lambda: sd * grain(canvas.grid.shape, (0.7, 0.7, 0.3), rng))
