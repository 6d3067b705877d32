"""Tables of the abdomen: place and shape of each organ, and the brightness of each tissue per contrast phase.

Body coordinates are in mm: x to the patient's right, y forward, z up. The origin lies on the midline, in the
middle of the trunk, at the height of the first lumbar vertebra. Places and sizes are rounded values of an average
adult from anatomy textbooks. Each case poses, deforms and scales them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import Ball, Part, Tube

#: Contrast phases, in the order of each tissue's HU below.
PHASES = ("non-contrast", "arterial", "portal")

#: The classes of BTCV.
BTCV_LABELS = {
    0: "background",
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "portal and splenic veins",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}


@dataclass(frozen=True)
class Tissue:
    """Brightness of a tissue.

    Attributes:
        hu: mean HU in each of ``PHASES``.
        texture: standard deviation within a case, HU.
        spread: standard deviation between cases, HU.
    """

    hu: tuple[float, float, float]
    texture: float = 4.0
    spread: float = 4.0


TISSUES = {
    "air": Tissue((-1000, -1000, -1000), 0, 0),
    "gas": Tissue((-950, -950, -950), 5, 10),
    "lung": Tissue((-830, -820, -820), 35, 25),
    "skin": Tissue((15, 15, 15), 5, 5),
    "fat": Tissue((-104, -103, -101), 8, 4),
    "muscle": Tissue((52, 56, 63), 9, 4),
    "bone": Tissue((420, 420, 430), 60, 50),
    "marrow": Tissue((165, 170, 185), 28, 25),
    "disc": Tissue((82, 84, 88), 6, 6),
    "canal": Tissue((22, 22, 26), 4, 4),
    "heart": Tissue((42, 240, 145), 6, 18),
    "liver": Tissue((56, 66, 108), 4, 8),
    "spleen": Tissue((48, 118, 122), 5, 8),
    "cortex": Tissue((34, 165, 182), 6, 14),
    "medulla": Tissue((30, 78, 165), 6, 10),
    "bile": Tissue((8, 8, 9), 3, 4),
    "gut wall": Tissue((42, 72, 82), 6, 6),
    "gut content": Tissue((22, 22, 22), 9, 16),
    "aorta": Tissue((42, 310, 152), 5, 22),
    "vena cava": Tissue((40, 80, 136), 6, 10),
    "portal vein": Tissue((42, 88, 170), 5, 12),
    "pancreas": Tissue((40, 98, 96), 11, 6),
    "adrenal": Tissue((28, 70, 76), 5, 5),
    "tumour": Tissue((38, 44, 58), 8, 9),
}


@dataclass(frozen=True)
class Organ:
    """One row of the table.

    Attributes:
        name: name to which other rows refer.
        label: BTCV class; 0 if BTCV does not label it; None keeps the class of the surrounding organ.
        tissue: key of ``TISSUES``; for an organ with a shell, the tissue inside.
        parts: shapes to join.
        cuts: shapes to remove.
        blend: rounding of joints and cuts, mm.
        shell: (thickness in mm, tissue) of an outer layer.
        moves_with: an earlier row with the same pose.
        inside: an earlier row; nothing is painted outside its surface.
        shift: how much the place differs between cases: standard deviation, mm.
        turn: how much the direction differs: up to so many degrees.
        grow: how much the size differs: up to such a share.
        gas: whether it may hold gas above its fluid; the patient lies on the back.
    """

    name: str
    label: int | None
    tissue: str
    parts: tuple[Part, ...]
    cuts: tuple[Part, ...] = ()
    blend: float = 0.0
    shell: tuple[float, str] | None = None
    moves_with: str | None = None
    inside: str | None = None
    shift: float = 3.5
    turn: float = 7.0
    grow: float = 0.09
    gas: bool = False


WALL = (3.5, "gut wall")

# fmt: off
#: Organs in the order in which they are painted: a later organ gets the voxels that it shares with an earlier one.
ORGANS = (
    Organ("heart", 0, "heart", (Ball((-22, 22, 112), (52, 40, 30), (0, 20, 0)),), shift=3),
    Organ("ascending colon", 0, "gut content",
          (Tube(((98, 2, -140, 21), (102, 4, -95, 22), (94, 14, -58, 21))),),
          shell=WALL, gas=True, shift=6),
    Organ("descending colon", 0, "gut content",
          (Tube(((-106, -12, -140, 15), (-110, -18, -80, 15), (-106, -14, -22, 16))),),
          shell=WALL, gas=True, shift=4),
    Organ("transverse colon", 0, "gut content",
          (Tube(((92, 22, -56, 18), (48, 60, -62, 18), (-15, 66, -66, 17), (-65, 54, -48, 17),
                 (-100, 8, -22, 16))),),
          shell=WALL, gas=True, shift=5),
    Organ("duodenum", 0, "gut content",
          (Tube(((20, 44, -6, 13), (44, 24, -18, 13), (46, 6, -48, 12), (14, -2, -60, 12), (-22, 2, -50, 11))),),
          shell=WALL, gas=True),
    Organ("liver", 6, "liver",
          (Ball((80, 4, 24), (58, 74, 74), (0, 8, 0)), Ball((8, 46, 50), (68, 28, 30), (0, -12, -8))),
          cuts=(Ball((57, -50, -24), (37, 36, 62)), Ball((-2, -48, 20), (36, 42, 120)),
                Ball((36, 52, -54), (58, 62, 46))),
          blend=14, inside="cavity", shift=4, turn=6, grow=0.08),
    Organ("hepatic veins", None, "vena cava",
          (Tube(((24, -6, 76, 6), (50, 8, 62, 5), (92, 18, 40, 3))),
           Tube(((22, -2, 77, 6), (44, 30, 62, 5), (58, 56, 38, 3))),
           Tube(((16, 2, 76, 5), (0, 30, 60, 3)))),
          blend=3, moves_with="liver", inside="liver"),
    Organ("portal branches", None, "portal vein",
          (Tube(((38, 16, 36, 7), (66, 10, 30, 6), (104, -8, 14, 3))),
           Tube(((38, 16, 36, 6), (22, 34, 46, 5), (-6, 48, 52, 3))),
           Tube(((66, 10, 30, 5), (88, 30, 10, 3)))),
          blend=3, moves_with="liver", inside="liver"),
    Organ("spleen", 1, "spleen", (Ball((-97, -26, 38), (29, 46, 52), (18, 0, 12)),),
          cuts=(Ball((-60, -4, 34), (34, 46, 66)),),
          blend=10, inside="cavity", shift=4, turn=9, grow=0.12),
    Organ("stomach", 7, "gut content",
          (Tube(((-56, -2, 70, 30), (-66, 18, 46, 30), (-58, 40, 12, 24), (-28, 54, -12, 19), (6, 50, -10, 15),
                 (20, 42, -4, 10))),),
          shell=(4.5, "gut wall"), inside="cavity", shift=4, turn=6, grow=0.12, gas=True),
    Organ("right kidney", 2, "medulla", (Ball((58, -42, -24), (28, 27, 56), (-12, 10, 25)),),
          cuts=(Ball((28, -34, -24), (13, 16, 20)),),
          blend=8, shell=(7.0, "cortex"), shift=4, turn=8),
    Organ("right renal sinus", 0, "fat", (Ball((47, -39, -24), (13, 8, 22), (-12, 10, 25)),),
          moves_with="right kidney", inside="right kidney"),
    Organ("left kidney", 3, "medulla", (Ball((-60, -42, -10), (28, 27, 57), (-12, -10, -25)),),
          cuts=(Ball((-30, -34, -10), (13, 16, 20)),),
          blend=8, shell=(7.0, "cortex"), shift=4, turn=8),
    Organ("left renal sinus", 0, "fat", (Ball((-49, -39, -10), (13, 8, 22), (-12, -10, -25)),),
          moves_with="left kidney", inside="left kidney"),
    Organ("gallbladder", 4, "bile", (Tube(((44, 26, 8, 7), (52, 38, -4, 13), (60, 50, -20, 16))),),
          shift=4, turn=10, grow=0.16),
    Organ("pancreas", 11, "pancreas",
          (Tube(((36, 12, -34, 11), (30, 16, -14, 15), (8, 22, 0, 10), (-24, 12, 12, 12), (-52, -2, 22, 12),
                 (-78, -12, 32, 10))),),
          blend=4, shift=3, turn=6),
    Organ("esophagus", 5, "gut wall",
          (Tube(((0, -12, 150, 9), (-2, -11, 112, 9), (-8, -4, 92, 9), (-18, 4, 80, 9), (-32, 4, 72, 10))),),
          shift=2, turn=2, grow=0.1),
    Organ("inferior vena cava", 9, "vena cava",
          (Tube(((20, -22, -150, 11), (20, -22, -60, 12), (20, -20, 0, 12), (20, -12, 48, 13), (18, -4, 84, 13),
                 (12, 4, 100, 12))),),
          shift=2.5, turn=2),
    Organ("portal and splenic veins", 10, "portal vein",
          (Tube(((10, 14, -48, 6), (10, 10, -20, 6.5), (14, 10, 2, 7.5), (26, 12, 22, 7.5), (40, 16, 36, 7))),
           Tube(((14, 10, 2, 6.5), (-22, 2, 14, 6), (-52, -12, 24, 5.5), (-80, -22, 34, 5)))),
          blend=3, moves_with="pancreas"),
    Organ("aorta", 8, "aorta",
          (Tube(((-14, -30, 150, 12), (-12, -27, 90, 12), (-8, -22, 30, 11), (-6, -21, -40, 10),
                 (-5, -22, -150, 9.5))),),
          shift=2.5, turn=2),
    Organ("right adrenal gland", 12, "adrenal",
          (Tube(((32, -34, 54, 4.4), (36, -44, 34, 4.4))), Tube(((32, -34, 54, 4.4), (40, -36, 36, 4.2)))),
          blend=2, shift=2, turn=8),
    Organ("left adrenal gland", 13, "adrenal",
          (Tube(((-30, -28, 50, 4.4), (-31, -42, 34, 4.4))), Tube(((-30, -28, 50, 4.4), (-40, -34, 34, 4.4)))),
          blend=2, shift=2, turn=8),
)
# fmt: on
