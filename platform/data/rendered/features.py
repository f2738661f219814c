"""Mouth, eyes and brows, drawn into the layer of the head."""

from dataclasses import dataclass

import numpy as np

from legan.platform.data.rendered.canvas import Field, Frame, bump, inside, linear, mix, ramp, tinted
from legan.platform.data.rendered.head import Identity, Pose, brow_curve, eye_curves, mouth_centre, mouth_curves

_INSIDE_MOUTH = (0.20, 0.055, 0.055)
_TONGUE = (0.62, 0.27, 0.27)
_TEETH = (0.93, 0.90, 0.84)
_SCLERA = (0.93, 0.91, 0.90)
_PUPIL = (0.02, 0.02, 0.02)
_LASHES = (0.07, 0.05, 0.05)

IRIS_RADIUS, PUPIL_RADIUS = 0.098, 0.040
TOOTH_WIDTH = 0.098


@dataclass
class Layer:
    """The head while it is drawn: height, squared colour (3×H×W), gloss and wetness."""

    height: Field
    colour: Field
    gloss: Field
    wet: Field


def draw_mouth(layer: Layer, who: Identity, pose: Pose, frame: Frame) -> None:
    """Lips, and between them teeth, tongue and the dark."""
    u, v, px, texture = frame
    s, top, inner_top, inner_bottom, bottom = mouth_curves(u, who, pose)
    from_ends = (1 - np.abs(s)) * 0.4
    ends = inside(from_ends, px)
    upper = inside(v - top, px, 0.03) * inside(inner_top - v, px) * ends
    lower = inside(v - inner_bottom, px) * inside(bottom - v, px, 0.04) * ends
    gap = inside(v - inner_top, px) * inside(inner_bottom - v, px) * inside(from_ends - 0.01, px)
    open_here = inner_bottom - inner_top

    into_upper = np.clip((v - top) / np.maximum(inner_top - top, 0.01), 0, 1)
    into_lower = np.clip((v - inner_bottom) / np.maximum(bottom - inner_bottom, 0.01), 0, 1)
    layer.height = layer.height + 0.060 * who.lip_upper * upper * np.sin(2.4 * into_upper)
    layer.height += 0.060 * who.lip_lower * lower * np.sin(np.pi * np.power(into_lower, 0.85))
    lips = linear(who.colours.lips) * (1 + 0.05 * texture.at(u * 40, v * 6))
    colour = mix(layer.colour, lips * 0.86, upper * 0.92)
    colour = mix(colour, lips * 1.05, lower * 0.85)

    seam = np.exp(-np.square((v - 0.5 * (inner_top + inner_bottom)) / 0.020)) * inside(0.97 - np.abs(s), px, 0.12)
    colour = tinted(colour, (0.20, 0.10, 0.10), 0.85 * seam * (1 - ramp(open_here * 12)))
    colour = colour * (1 - 0.40 * bump(np.abs(s), v - inner_top, 1.0, 0.0, 0.09, 0.045))

    teeth = _teeth(who, pose, frame, s)
    colour = mix(colour, _inside_mouth(who, pose, frame, s, teeth, inner_top, inner_bottom), gap)
    layer.colour = colour
    layer.height -= 0.05 * gap * (1 - 0.6 * teeth) * ramp(open_here * 5)
    layer.gloss = mix(layer.gloss + 0.07 * (upper * 0.3 + lower), 0.08 + 0.15 * teeth, gap)


def _teeth(who: Identity, pose: Pose, frame: Frame, s: Field) -> Field:
    middle = mouth_centre(who, pose)
    upper_edge = middle - pose.open_up + 0.115 - 0.10 * np.square(s)
    mask = inside(upper_edge - frame.v, frame.px, 0.02)
    if pose.open_low > 0.15:
        lower_edge = middle + pose.open_low - 0.045 + 0.02 * np.square(s)
        mask = np.maximum(mask, 0.85 * inside(frame.v - lower_edge, frame.px, 0.02))
    return mask


def _inside_mouth(
    who: Identity, pose: Pose, frame: Frame, s: Field, teeth: Field, inner_top: Field, inner_bottom: Field
) -> Field:
    u, v = frame.u, frame.v
    dark = linear(_INSIDE_MOUTH) * np.clip(1.1 - 2.0 * np.abs(v - 0.5 * (inner_top + inner_bottom)), 0.3, 1)
    how_far_out = float(np.clip(1.3 * pose.open_low * 8 - 0.9, 0, 1))
    tongue = how_far_out * bump(u, v, 0, mouth_centre(who, pose) + pose.open_low * 0.92, 0.24, 0.12 + 0.1 * pose.open_low)
    between_two = np.power(np.cos(np.pi * u / TOOTH_WIDTH), 20)
    shading = (1 - 0.30 * between_two) * (1.02 - 0.45 * np.square(s))
    filling = mix(mix(dark, linear(_TONGUE), tongue * 0.8), linear(_TEETH) * shading, teeth)
    return filling * (0.45 + 0.55 * ramp((v - inner_top) * 14))


def draw_eyes(layer: Layer, who: Identity, pose: Pose, frame: Frame) -> None:
    """Eyeballs in the opening of the lids, the lids' crease, lashes and rims."""
    u, v, px, _ = frame
    side = np.abs(u)
    e, upper, lower = eye_curves(u, who, pose)
    ends = inside((1.0 - np.abs(e)) * 0.22, px)
    opening = inside(v - upper, px) * inside(lower - v, px) * ends
    near = ramp((1.45 - np.abs(e)) * 3)

    lid_fold = upper - (0.050 + 0.016 * who.lid_crease) * (0.5 + 0.5 * min(pose.eye_open, 1.2))
    crease = np.exp(-np.square((v - lid_fold) / 0.020)) * near * who.lid_crease
    layer.height = layer.height - 0.014 * crease - 0.012 * near * np.exp(-np.square((v - lower - 0.05) / 0.03))
    colour = tinted(layer.colour, (0.69, 0.59, 0.59), np.minimum(crease, 1))

    v_iris = -0.008 + 0.012 * (1 - min(pose.eye_open, 1.0))
    radius = np.hypot(side - 0.5, v - v_iris)
    colour = mix(colour, _eyeball(who, frame, e, upper, radius, v_iris), opening)
    lash = np.exp(-np.square((v - upper + 0.008) / 0.020)) * inside((1.10 - np.abs(e)) * 0.22, px, 0.08)
    colour = mix(colour, linear(_LASHES), 0.95 * lash)
    layer.colour = tinted(colour, (0.70, 0.50, 0.55), ends * np.exp(-np.square((v - lower - 0.006) / 0.012)))

    ball = 0.26 * np.sqrt(np.maximum(1.06 - np.square((side - 0.5) / 0.27) - np.square(v / 0.27), 0.05))
    cornea = 0.045 * np.exp(-np.square(radius / 0.085))
    layer.height = mix(layer.height, 0.60 + ball + cornea, opening)
    layer.wet = np.maximum(layer.wet, opening)
    layer.gloss = layer.gloss * (1 - opening)


def _eyeball(who: Identity, frame: Frame, e: Field, upper: Field, radius: Field, v_iris: float) -> Field:
    u, v, px, texture = frame
    which = np.sign(u)
    spokes = texture.at(np.arctan2(v - v_iris, u - which * 0.5) * 9 + which * 20, radius * 30)
    glow = 1 + 0.54 * (radius / IRIS_RADIUS - 0.5) * (v > v_iris) + 0.14 * spokes
    limbus = 1 - 0.62 * ramp((radius - 0.70 * IRIS_RADIUS) / (0.30 * IRIS_RADIUS))
    iris = mix(linear(who.colours.iris) * glow * limbus, linear(_PUPIL), inside(PUPIL_RADIUS - radius, px))
    white = tinted(
        linear(_SCLERA) * (1 - 0.28 * np.square(np.clip(e, -1, 1))), (0.9, 0.55, 0.6), bump(e, v, -0.95, 0.012, 0.16, 0.10)
    )
    ball = mix(white, iris, inside(IRIS_RADIUS - radius, px, 0.015))
    ball = ball * (0.38 + 0.62 * ramp((v - upper) / 0.075))
    # A faint reflection of the room, so that eyes don't die where no lamp reaches them.
    return mix(ball, 0.75, 0.55 * bump(u - which * 0.5, v, 0.0, v_iris - 0.034, 0.019, 0.019))


def draw_brows(layer: Layer, who: Identity, pose: Pose, frame: Frame) -> None:
    """Two brows of short slanted hairs."""
    u, v, px, texture = frame
    s, middle, half = brow_curve(u, who, pose)
    hairs = texture.at((u + 0.8 * np.sign(u) * v) * 38, v * 9)
    ends = inside(s * 0.7, px, 0.07) * inside((1 - s) * 0.7, px, 0.07)
    mask = inside(half - np.abs(v - middle) + 0.006 * hairs, px, 0.055) * ends
    layer.colour = mix(layer.colour, linear(who.colours.brows), mask * np.clip(0.80 + 0.07 * hairs, 0, 0.95))
