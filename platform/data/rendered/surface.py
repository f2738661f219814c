"""Height and colour of one face: head, nose, folds, skin, beard, ears, neck, laid on a canvas from back to front."""

import numpy as np
from numpy.typing import NDArray

from legan.platform.data.rendered.canvas import (
    Camera,
    Canvas,
    Field,
    Frame,
    Texture,
    bump,
    dome,
    inside,
    linear,
    mix,
    ramp,
    tinted,
)
from legan.platform.data.rendered.features import Layer, draw_brows, draw_eyes, draw_mouth
from legan.platform.data.rendered.hair import STYLES, draw_back_hair, draw_front_hair
from legan.platform.data.rendered.head import CENTRE_V, Identity, Pose, mouth_centre, nose_levels, outline_table


def paint(who: Identity, pose: Pose, camera: Camera, size: int) -> Canvas:
    """The whole picture of a person with an expression, before any light."""
    u, v, px = camera.frame(size)
    frame = Frame(u, v, px, Texture(who.texture_seed))
    wall = 1.05 - 0.16 * np.square(u / 1.5) - 0.10 * (v / 1.8) + 0.02 * frame.texture.at(u * 2 + 40, v * 2 + 40)
    canvas = Canvas(size, px, who.colours.wall, wall)
    at_rest = polar(who, Pose(), frame)
    draw_back_hair(canvas, who, frame, at_rest)
    _draw_neck(canvas, who, frame)
    _draw_shirt(canvas, who, frame)
    if STYLES[who.hair_style].length < 0.4:
        _draw_ears(canvas, who, frame)
    _draw_head(canvas, who, pose, frame)
    draw_front_hair(canvas, who, frame, at_rest)
    return canvas


def polar(who: Identity, pose: Pose, frame: Frame) -> tuple[Field, Field]:
    """Radius in parts of the head's outline (1 on the outline), and the outline's radius in that direction."""
    table = outline_table(who, pose)
    angle = np.arctan2(np.abs(frame.u), CENTRE_V - frame.v)
    edge = np.interp(angle, np.linspace(0, np.pi, len(table)), table).astype(np.float32)
    return np.hypot(frame.u, frame.v - CENTRE_V) / edge, edge


def _draw_neck(canvas: Canvas, who: Identity, frame: Frame) -> None:
    u, v = frame.u, frame.v
    half = who.neck_width + 0.10 * np.square(np.clip(v - 1.0, 0, 1))
    across = np.square(np.clip(u / half, -1, 1))
    tendons = np.exp(-np.square((np.abs(u) - 0.30 * half) / 0.10)) * ramp(v - 0.9)
    height = -0.55 + 0.42 * np.sqrt(1.02 - across) + 0.03 * tendons
    mask = inside(half - np.abs(u), canvas.px) * ramp((v - 0.6) * 4)
    canvas.lay(mask, height, linear(who.colours.skin) * 0.74, gloss=0.03, skin=1.0)


def _draw_shirt(canvas: Canvas, who: Identity, frame: Frame) -> None:
    u, v = frame.u, frame.v
    collar = 1.60 - 0.10 * np.square(u) + 0.16 * np.exp(-np.square(u / 0.42))
    below = v - collar - 0.10 * np.clip(np.abs(u) - 0.5, 0, 1)
    height = -0.50 + 0.45 * ramp(below * 2.2) - 0.15 * np.square(u / 1.5)
    canvas.lay(inside(below, canvas.px, 0.03), height, linear(who.colours.shirt), gloss=0.0)


def _draw_ears(canvas: Canvas, who: Identity, frame: Frame) -> None:
    side, v = np.abs(frame.u), frame.v
    u0, v0 = 1.035 * who.face_width + 0.015, 0.20
    long, wide = 0.33 * who.ear_size, 0.135 * who.ear_size
    leaning = side - u0 + 0.20 * (v - v0)
    radius = np.sqrt(np.square(leaning / wide) + np.square((v - v0) / long)) + 0.10 * ramp((v - v0 - 0.1) * 4)
    rim = np.exp(-np.square((radius - 0.82) / 0.16))
    height = -0.42 + 0.08 * rim - 0.45 * leaning - 0.10 * bump(side, v, u0 + 0.02, v0 + 0.02, 0.06, 0.12)
    shading = 0.62 + 0.38 * ramp(rim + 0.4 * ramp((v - v0 - 0.08) * 5))
    colour = tinted(linear(who.colours.skin) * shading, (1.04, 0.86, 0.84), 1.0)
    canvas.lay(inside((1 - radius) * wide, canvas.px), height, colour, gloss=0.04, skin=1.0)


def _draw_head(canvas: Canvas, who: Identity, pose: Pose, frame: Frame) -> None:
    u, v = frame.u, frame.v
    radius, edge = polar(who, pose, frame)
    tip, _ = nose_levels(who, pose)
    layer = Layer(
        height=_skull(who, pose, frame, radius) + _nose(who, pose, frame) + _folds(who, pose, frame),
        colour=_skin_colour(who, pose, frame),
        gloss=0.055 + 0.06 * bump(u, v, 0, tip, 0.10, 0.12) + 0.03 * bump(u, v, 0, -0.55, 0.45, 0.20),
        wet=np.zeros_like(u),
    )
    draw_mouth(layer, who, pose, frame)
    draw_eyes(layer, who, pose, frame)
    draw_brows(layer, who, pose, frame)
    mask = inside((1 - radius) * edge, canvas.px)
    canvas.lay(mask, layer.height, layer.colour, layer.gloss, skin=1.0, wet=layer.wet)


def _skull(who: Identity, pose: Pose, frame: Frame, radius: Field) -> Field:
    u, v, side, mouth = frame.u, frame.v, np.abs(frame.u), mouth_centre(who, pose)
    height = dome(radius, 1.18, 2.15) - 0.32
    # brow ridge, forehead, temples
    height += 0.045 * bump(side, v, 0.44, -0.24 - who.brow_height - pose.brow_up, 0.34, 0.10)
    height += 0.020 * bump(u, v, 0, -0.62, 0.6, 0.30) - 0.03 * bump(side, v, 0.98, -0.30, 0.16, 0.25)
    # eye sockets and the lids over the eyeballs
    height -= 0.150 * bump(side, v, 0.40, -0.02, 0.24, 0.15) + 0.04 * bump(side, v, 0.20, 0.04, 0.10, 0.12)
    height += 0.105 * bump(side, v, 0.50, 0.0, 0.19, 0.125)
    # cheekbones, raised cheeks, the hollow under them
    height += 0.060 * who.cheekbones * bump(side, v, 0.68, 0.40, 0.22, 0.17)
    height += 0.065 * pose.cheek * bump(side, v, 0.55, 0.50, 0.21, 0.16)
    height -= 0.045 * bump(side, v, 0.74, 0.98, 0.17, 0.26)
    # muzzle, chin, the furrow between lip and chin, the philtrum
    height += 0.075 * bump(u, v, 0, mouth, 0.40, 0.30)
    height += 0.075 * bump(u, v, 0, 1.41 + who.chin_length + pose.jaw, 0.19 * who.chin_width, 0.12)
    height -= 0.050 * bump(u, v, 0, mouth + 0.215 + pose.open_low, 0.22, 0.055)
    height -= 0.022 * bump(u, v, 0, mouth - 0.20 - pose.open_up, 0.035, 0.075)
    return height


def _nose(who: Identity, pose: Pose, frame: Frame) -> Field:
    u, v, side = frame.u, frame.v, np.abs(frame.u)
    tip, base = nose_levels(who, pose)
    size = who.features * who.nose_width * (1 + 0.08 * pose.nose_wrinkle)
    levels = np.array([-0.30, -0.10, 0.06, 0.5 * tip, 0.82 * tip, tip, tip + 0.05, base - 0.03, base + 0.06])
    ridge = np.array([0.0, 0.035, 0.070, 0.165, 0.270, 0.310, 0.300, 0.17, 0.0]) * who.nose_height
    width = np.array([0.20, 0.150, 0.130, 0.150, 0.180, 0.195, 0.20, 0.19, 0.16]) * size
    nose = _along(v, levels, ridge) * np.exp(-np.power(side / _along(v, levels, width), 1.9))
    nose += 0.050 * who.nose_tip * bump(u, v, 0, tip, 0.110 * size, 0.080)
    nose += 0.125 * bump(side, v, 0.195 * size, base - 0.065, 0.075 * size, 0.075)
    nose -= 0.060 * bump(side, v, 0.110 * size, base - 0.005, 0.045, 0.028)
    if pose.nose_wrinkle:
        nose += 0.010 * pose.nose_wrinkle * np.sin((v - 0.06) * 48 + side * 14) * bump(u, v, 0, 0.10, 0.17, 0.13)
    return nose


def _along(v: Field, levels: NDArray[np.float64], values: NDArray[np.float64]) -> Field:
    """Values given at ascending levels of v, interpolated and rounded off at the levels."""
    fine = np.linspace(levels[0], levels[-1], 96)
    window = np.hanning(11)[1:-1] / np.hanning(11).sum()
    smooth = np.convolve(np.pad(np.interp(fine, levels, values), 4, mode="edge"), window, "valid")
    return np.interp(v, fine, smooth).astype(np.float32)


def _folds(who: Identity, pose: Pose, frame: Frame) -> Field:
    u, v, side = frame.u, frame.v, np.abs(frame.u)
    height = _nasolabial_fold(who, pose, frame)
    lines = 0.0045 * (pose.forehead_lines + 0.45 * who.wrinkles)
    height += lines * np.sin((v + 0.10 * np.square(u)) * 52) * bump(u, v, 0, -0.56, 0.48, 0.13)
    frown = 0.020 * (pose.frown_lines + 0.35 * who.wrinkles)
    height -= frown * bump(side, v, 0.075, -0.27, 0.022, 0.10)
    crow = 0.0065 * (pose.crow * (0.4 + who.wrinkles) + 0.5 * who.wrinkles)
    height += crow * np.sin(np.arctan2(v, side - 0.58) * 13) * bump(side, v, 0.83, 0.02, 0.08, 0.13)
    bag = np.exp(-np.square((v - 0.155 - 0.16 * np.square(side - 0.5)) / 0.028)) * bump(side, v, 0.44, 0.15, 0.2, 0.1)
    return height - (0.012 + 0.02 * who.wrinkles) * bag


def _nasolabial_fold(who: Identity, pose: Pose, frame: Frame) -> Field:
    mouth_half = 0.385 * who.features * who.mouth_width * pose.mouth_wide
    along = (frame.v - 0.58) / (mouth_centre(who, pose) + 0.10 - 0.58)
    start = 0.25 * who.features
    line = start + (mouth_half + 0.12 - 0.25) * np.power(np.clip(along, 0, 1.2), 0.8)
    depth = 0.010 + 0.020 * who.wrinkles + 0.040 * pose.fold
    window = ramp(along * 3) * ramp((1.15 - along) * 2)
    beyond = np.abs(frame.u) - line
    groove, pad = np.exp(-np.square(beyond / 0.045)), np.exp(-np.square((beyond - 0.13) / 0.09))
    return depth * window * (0.55 * pad - groove)


def _skin_colour(who: Identity, pose: Pose, frame: Frame) -> Field:
    u, v, _, texture = frame
    side = np.abs(u)
    tip, base = nose_levels(who, pose)

    red = bump(side, v, 0.62, 0.52, 0.24, 0.20) + 0.8 * bump(u, v, 0, tip, 0.17, 0.12) + 0.25 * bump(u, v, 0, 1.4, 0.2, 0.12)
    red = who.colours.blush * red + 0.10 * texture.at(u * 9, v * 9)

    dark = 0.34 * bump(side, v, 0.44, 0.145, 0.20, 0.07) + 0.30 * bump(side, v, 0.33, 0.02, 0.16, 0.12)
    dark += 0.035 * texture.at(u * 26, v * 26) + 0.03 * texture.at(u * 4 + 9, v * 4)

    tint = np.stack([1 + 0.03 * red - 0.45 * dark, 1 - 0.20 * red - 0.62 * dark, 1 - 0.20 * red - 0.55 * dark])
    colour = linear(who.colours.skin) * tint

    if who.freckles:
        where = np.minimum(bump(side, v, 0.35, 0.38, 0.45, 0.24) * 1.3, 1)
        colour = tinted(colour, (0.72, 0.56, 0.48), who.freckles * where * ramp(texture.spots(u * 58 + 5, v * 58) * 1.3))
    if who.stubble or who.beard:
        colour = _beard(who, pose, frame, colour)

    width = who.nose_width * who.features
    crease = bump(side, v, 0.285 * width, base - 0.065, 0.022, 0.060)
    crease += 0.7 * bump(side, v, 0.15 * width, base + 0.022, 0.11 * width, 0.018)
    colour = tinted(colour, (0.68, 0.58, 0.58), np.minimum(crease, 1))

    across, down = (side - 0.112 * width) / (0.062 * width), (v - base + 0.020 + 0.30 * (side - 0.1)) / 0.034
    nostrils = inside(1.15 - np.hypot(across, down), 0.7)
    return tinted(colour, (0.12, 0.07, 0.07), nostrils * 0.92)


def _beard(who: Identity, pose: Pose, frame: Frame, colour: Field) -> Field:
    u, v, side, mouth = frame.u, frame.v, np.abs(frame.u), mouth_centre(who, pose)
    cheek_line = 0.98 - 0.70 * ramp((side - 0.42) * 1.9)
    moustache = 1.5 * bump(u, v - 0.35 * np.square(u), 0, mouth - 0.135 - pose.open_up, 0.36, 0.075)
    bare = 0.6 * bump(u, v, 0, mouth + 0.19 + pose.open_low, 0.16, 0.05)
    area = np.clip(np.maximum(ramp((v - cheek_line) * 7), moustache) - bare, 0, 1)
    hairs = frame.texture.at(u * 46, v * 30 + 3 * side)
    brows, skin = who.colours.brows, who.colours.skin
    shadow = np.square(0.55 * np.sqrt(linear(brows)) + 0.25 * np.sqrt(linear(skin)))
    colour = mix(colour, shadow, area * who.stubble * np.clip(0.42 + 0.10 * hairs, 0, 1))
    full = linear(brows) * np.clip(1 + 0.20 * hairs, 0.3, 2)
    return mix(colour, full, area * who.beard * np.clip(0.90 + 0.06 * hairs, 0, 1))
