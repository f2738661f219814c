"""Who is rendered and what the face does: identities, expressions, the face's curves, and the 68 landmarks.

All curves live in the face frame: u to the viewer's right, v down, z towards the viewer, in units of the eye distance,
with the eyes' centres at (±0.5, 0). An identity's numbers come from its own seeded generator and nothing else.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from legan.platform.data.rendered.canvas import Field
from legan.platform.data.rendered.palette import Colour, sample_colours

EXPRESSIONS = ("neutral", "smile", "surprise", "squint", "disgust", "scream")

HAIR_STYLES = ("bald", "buzz", "short", "side_part", "curly", "up", "bob", "fringe", "long", "wavy")


@dataclass(frozen=True)
class Identity:
    """One person. Shape numbers are factors around 1 or offsets in eye distances; amounts run from 0 to 1."""

    features: float  # size of nose and mouth against the eye distance
    face_width: float
    jaw_width: float
    chin_width: float
    chin_length: float
    cheekbones: float
    brow_thickness: float
    brow_height: float
    brow_arch: float
    brow_tilt: float
    eye_height: float
    eye_width: float
    eye_tilt: float
    lid_crease: float
    nose_length: float
    nose_width: float
    nose_height: float
    nose_tip: float
    mouth_width: float
    mouth_height: float
    lip_upper: float
    lip_lower: float
    cupid_bow: float
    ear_size: float
    neck_width: float
    hair_style: str
    hairline: float  # v of the hairline above the nose
    hair_volume: float
    hair_part: float  # u of the parting
    stubble: float
    beard: float
    wrinkles: float
    freckles: float
    lopsided: float  # brows and mouth corners, -1 to 1
    colours: Colour
    texture_seed: int | None  # None: no texture


@dataclass(frozen=True)
class Pose:
    """What an expression does to the face; zero (and 1 for the factors) at rest. Distances in eye distances."""

    mouth_wide: float = 1.0
    corner_up: float = 0.0
    open_up: float = 0.0
    open_low: float = 0.0
    lip_square: float = 0.0
    jaw: float = 0.0
    brow_up: float = 0.0
    brow_frown: float = 0.0
    eye_open: float = 1.0
    lower_lid: float = 0.0
    cheek: float = 0.0
    fold: float = 0.0
    forehead_lines: float = 0.0
    frown_lines: float = 0.0
    nose_wrinkle: float = 0.0
    crow: float = 0.0


POSES = {
    "neutral": Pose(),
    "smile": Pose(
        mouth_wide=1.36, corner_up=0.13, open_up=0.045, open_low=0.075, cheek=1.0, fold=0.9, eye_open=0.80, lower_lid=0.030,
        crow=0.6, brow_up=0.01,
    ),
    "surprise": Pose(
        mouth_wide=0.78, open_up=0.09, open_low=0.20, jaw=0.11, brow_up=0.15, eye_open=1.55, lower_lid=-0.012, forehead_lines=1.0,
        lip_square=0.2,
    ),
    "squint": Pose(
        mouth_wide=1.06, corner_up=0.02, brow_up=-0.055, brow_frown=0.5, eye_open=0.28, lower_lid=0.035, cheek=0.6, fold=0.35,
        crow=1.0, frown_lines=0.8,
    ),
    "disgust": Pose(
        mouth_wide=1.05, corner_up=-0.10, open_up=0.095, open_low=0.012, lip_square=0.9, brow_up=-0.075, brow_frown=1.0,
        eye_open=0.55, lower_lid=0.03, cheek=0.7, fold=1.0, frown_lines=1.0, nose_wrinkle=1.0,
    ),
    "scream": Pose(
        mouth_wide=1.08, corner_up=-0.02, open_up=0.17, open_low=0.33, lip_square=0.6, jaw=0.20, brow_up=-0.04, brow_frown=0.8,
        eye_open=0.38, lower_lid=0.03, cheek=0.8, fold=0.9, crow=0.8, frown_lines=0.9, nose_wrinkle=0.4,
    ),
}  # fmt: skip


def sample_identity(identity: int, seed: int = 0) -> Identity:
    """Person number ``identity`` (0, 1, …) of a seed; the same numbers on every machine and in any order."""
    rng = np.random.default_rng([seed, identity, 1])
    masculine = float(rng.beta(0.4, 0.4))
    age = float(rng.uniform())

    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -2.0, 2.0))

    style = _hair_style(rng, masculine, age)
    bearded = masculine > 0.75 and rng.uniform() < 0.35
    return Identity(
        features=around(1.0, 0.035),
        face_width=around(0.975 + 0.03 * masculine, 0.04),
        jaw_width=around(0.94 + 0.05 * masculine, 0.04),
        chin_width=around(0.93 + 0.22 * masculine, 0.12),
        chin_length=around(0.0 + 0.03 * masculine, 0.045),
        cheekbones=around(1.0, 0.35),
        brow_thickness=around(0.75 + 0.50 * masculine, 0.16),
        brow_height=around(0.02 - 0.035 * masculine, 0.02),
        brow_arch=around(0.075 - 0.035 * masculine, 0.018),
        brow_tilt=around(0.0, 0.025),
        eye_height=around(1.06 - 0.10 * masculine, 0.10),
        eye_width=around(1.0, 0.05),
        eye_tilt=around(0.012, 0.014),
        lid_crease=around(0.9, 0.25),
        nose_length=around(0.0, 0.035),
        nose_width=around(0.93 + 0.12 * masculine, 0.12),
        nose_height=around(1.0, 0.13),
        nose_tip=around(1.0, 0.20),
        mouth_width=around(1.0, 0.07),
        mouth_height=around(0.0, 0.025),
        lip_upper=around(1.10 - 0.30 * masculine, 0.20),
        lip_lower=around(1.10 - 0.25 * masculine, 0.18),
        cupid_bow=around(0.26, 0.09),
        ear_size=around(1.0, 0.10),
        neck_width=around(0.58 + 0.14 * masculine, 0.03),
        hair_style=style,
        hairline=around(-0.84 - (0.12 * age * masculine), 0.055),
        hair_volume=around(1.0, 0.22),
        hair_part=float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.5)),
        stubble=float(masculine > 0.75) * float(rng.uniform(0.0, 0.7)),
        beard=float(rng.uniform(0.55, 1.0)) if bearded else 0.0,
        wrinkles=max(0.0, (age - 0.35) / 0.65) ** 1.3,
        freckles=float(rng.uniform(0.4, 1.0)) if rng.uniform() < 0.22 else 0.0,
        lopsided=around(0.0, 0.45),
        colours=sample_colours(rng, age, masculine),
        texture_seed=int(rng.integers(2**31)),
    )


def symmetric(identity: Identity) -> Identity:
    """The same person without what differs from side to side: parting, lopsidedness, texture."""
    return replace(identity, hair_part=0.0, lopsided=0.0, freckles=0.0, texture_seed=None)


def sample_pose(expression: str, identity: int, seed: int = 0) -> Pose:
    """How this person does this expression: the expression's pose, each movement stronger or weaker by up to a sixth."""
    rng = np.random.default_rng([seed, identity, 2, EXPRESSIONS.index(expression)])
    rest, full = Pose(), POSES[expression]
    moved = {}
    for part in fields(Pose):
        still, most = getattr(rest, part.name), getattr(full, part.name)
        moved[part.name] = float(still + (most - still) * rng.uniform(0.84, 1.16))
    return Pose(**moved)


def _hair_style(rng: np.random.Generator, masculine: float, age: float) -> str:
    short = np.array([0.16 * age, 0.16, 0.34, 0.30, 0.14, 0.02, 0.0, 0.0, 0.03, 0.02])
    long = np.array([0.0, 0.0, 0.05, 0.05, 0.14, 0.16, 0.16, 0.15, 0.20, 0.20])
    chances = masculine**2 * short + (1 - masculine) ** 2 * long
    return str(rng.choice(HAIR_STYLES, p=chances / chances.sum()))


# The head's outline on the viewer's right, from the crown to the chin.
_OUTLINE = np.array(
    [(0.0, -1.46), (0.55, -1.33), (0.92, -0.92), (1.03, -0.40), (1.045, 0.0), (1.03, 0.35), (0.985, 0.68), (0.90, 0.98),
     (0.755, 1.23), (0.52, 1.44), (0.25, 1.56), (0.0, 1.59)]
)  # fmt: skip
CENTRE_V = 0.30
"""The point (0, CENTRE_V) is the centre that the outline is drawn around."""


def outline_table(who: Identity, pose: Pose) -> Field:
    """Radius of the head's outline around (0, CENTRE_V) at 256 angles from 0 (up) to π (down), float32 256."""
    u, v = _OUTLINE.T.copy()
    below = np.clip((v - 0.2) / 1.39, 0, 1)
    u *= who.face_width * (1 + (who.jaw_width - 1) * np.sin(np.pi * np.clip(below * 0.95, 0, 1)))
    chin = np.exp(-(((v - 1.47) / 0.16) ** 2))
    u *= 1 + (who.chin_width - 1) * chin
    u *= 1 + 0.03 * pose.cheek * np.exp(-(((v - 0.6) / 0.3) ** 2)) - 0.35 * pose.jaw * below
    v += below**1.5 * (who.chin_length + pose.jaw)
    angle, radius = np.arctan2(u, CENTRE_V - v), np.hypot(u, v - CENTRE_V)
    spline = CubicSpline(angle, radius, bc_type=((1, 0.0), (1, 0.0)))
    return np.asarray(spline(np.linspace(0, np.pi, 256)), np.float32)


def brow_curve(u: Field, who: Identity, pose: Pose) -> tuple[Field, Field, Field]:
    """Along a brow: s from 0 (inner end) to 1 (outer end), the middle line's v, and half its thickness."""
    s = (np.abs(u) - 0.17) / 0.70
    inside = np.clip(s, 0, 1)
    raised = pose.brow_up + 0.02 * who.lopsided * np.sign(u) * (0.3 + abs(pose.brow_up) * 8)
    arch = who.brow_arch * np.sin(np.pi * inside**1.35)
    frown = pose.brow_frown * 0.085 * (1 - inside) ** 1.6
    v = -0.275 - who.brow_height - raised * (1 - 0.15 * inside) - arch + frown + who.brow_tilt * (0.5 - inside) * -1.0
    thickness = 0.050 * who.brow_thickness * (1 - inside**2.2 * 0.85) * (0.72 + 0.28 * np.minimum(inside * 5, 1))
    return s, v, thickness


def eye_curves(u: Field, who: Identity, pose: Pose) -> tuple[Field, Field, Field]:
    """Along an eye: e from -1 (inner corner) to 1 (outer), and the v of the upper and the lower lid's edge."""
    e = (np.abs(u) - 0.5) / (0.228 * who.eye_width)
    inside = np.clip(e, -1, 1)
    height = who.eye_height * pose.eye_open
    corners = -who.eye_tilt * inside + 0.012
    lens = 1 - np.abs(inside) ** 2.3
    upper = corners - 0.104 * height * lens**0.85 * (1 - 0.12 * inside)
    lower = corners + (0.074 * who.eye_height - pose.lower_lid) * lens * (1 + 0.20 * inside)
    return e, upper, np.maximum(lower, upper + 0.006)


def mouth_centre(who: Identity, pose: Pose) -> float:
    """v of the line between the lips, in the middle."""
    return 1.015 * who.features + who.mouth_height + 0.35 * pose.jaw - 0.02 * pose.nose_wrinkle


def mouth_curves(u: Field, who: Identity, pose: Pose) -> tuple[Field, Field, Field, Field, Field]:
    """Along the mouth: s from -1 to 1, and v of the upper lip's top, its lower edge, the lower lip's edge and its bottom."""
    half = 0.385 * who.features * who.mouth_width * pose.mouth_wide
    s = u / half
    inside = np.clip(s, -1, 1)
    side = np.abs(inside)
    q = 1 - inside**2
    lift = (pose.corner_up - 0.012) * (1 + 0.22 * who.lopsided * inside)
    line = mouth_centre(who, pose) - lift * side**1.8 - 0.010 * np.cos(np.pi * side * 1.5) * (1 - side)
    opening = q ** (0.75 - 0.35 * pose.lip_square)
    top, bottom = line - pose.open_up * opening, line + pose.open_low * opening
    thin = 1 - 0.9 * min(pose.open_low + pose.open_up, 0.35)
    bow = 1 + who.cupid_bow * (np.exp(-(((side - 0.26) / 0.18) ** 2)) - 0.55 * np.exp(-((inside / 0.16) ** 2)))
    upper = 0.088 * who.lip_upper * thin * q**0.9 * bow
    lower = 0.128 * who.lip_lower * thin * q**0.85 * (1 + 0.15 * q)
    return s, top - upper, top, bottom, bottom + lower


def nose_levels(who: Identity, pose: Pose) -> tuple[float, float]:
    """v of the nose's tip and of its base."""
    shorter = 0.045 * pose.nose_wrinkle
    tip = 0.555 * who.features + who.nose_length - shorter
    return tip, tip + 0.135 * who.features


def landmarks(who: Identity, pose: Pose) -> NDArray[np.float32]:
    """The 68 points in iBUG's order in the face frame, float32 68×2 (u, v); left is the viewer's."""
    tip, base = nose_levels(who, pose)
    width = 0.235 * who.features * who.nose_width * (1 + 0.10 * pose.nose_wrinkle)
    u_nose = np.array([-width, -0.5 * width, 0.0, 0.5 * width, width])
    v_nose = base + np.array([-0.02, 0.015, 0.03, 0.015, -0.02])
    bridge = np.linspace(0.03, tip, 4)
    points = [
        _jaw_points(who, pose),
        *(_brow_points(sign, who, pose) for sign in (-1, 1)),
        np.column_stack([np.zeros(4), bridge]),
        np.column_stack([u_nose, v_nose]),
        *(_eye_points(sign, who, pose) for sign in (-1, 1)),
        _mouth_points(who, pose),
    ]
    return np.concatenate(points).astype(np.float32)


def _jaw_points(who: Identity, pose: Pose) -> NDArray[np.float64]:
    radius = outline_table(who, pose).astype(np.float64)
    angle = np.linspace(0, np.pi, 256)
    u, v = radius * np.sin(angle), CENTRE_V - radius * np.cos(angle)
    start = int(np.argmax(v > 0.0))
    u, v = u[start:], v[start:]
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(u), np.diff(v)))])
    at = np.linspace(0, along[-1], 9)
    half = np.column_stack([np.interp(at, along, u), np.interp(at, along, v)])
    return np.concatenate([half * [-1, 1], half[-2::-1]])


def _brow_points(sign: int, who: Identity, pose: Pose) -> NDArray[np.float64]:
    u = sign * (0.17 + 0.70 * np.array([1.0, 0.76, 0.5, 0.25, 0.0]))
    _, v, _ = brow_curve(u.astype(np.float32), who, pose)
    points = np.column_stack([u, v])
    return points if sign < 0 else points[::-1]


def _eye_points(sign: int, who: Identity, pose: Pose) -> NDArray[np.float64]:
    e = np.array([1.0, 0.36, -0.36, -1.0, -0.36, 0.36]) if sign < 0 else np.array([-1.0, -0.36, 0.36, 1.0, 0.36, -0.36])
    u = sign * (0.5 + 0.228 * who.eye_width * e)
    _, upper, lower = eye_curves(u.astype(np.float32), who, pose)
    v = np.where([False, True, True, False, False, False], upper, lower)
    v[[0, 3]] = ((upper + lower) / 2)[[0, 3]]
    return np.column_stack([u, v])


def _mouth_points(who: Identity, pose: Pose) -> NDArray[np.float64]:
    half = 0.385 * who.features * who.mouth_width * pose.mouth_wide
    outer = np.array([-1, -0.64, -0.24, 0, 0.24, 0.64, 1]) * half
    inner = np.array([-0.84, -0.28, 0, 0.28, 0.84]) * half
    _, top, _, _, bottom = mouth_curves(outer.astype(np.float32), who, pose)
    _, _, inner_top, inner_bottom, _ = mouth_curves(inner.astype(np.float32), who, pose)
    return np.concatenate(
        [
            np.column_stack([outer, top]),
            np.column_stack([outer, bottom])[-2:0:-1],
            np.column_stack([inner, inner_top]),
            np.column_stack([inner, inner_bottom])[-2:0:-1],
        ]
    )
