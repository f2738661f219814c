"""Hair: behind the head, and over skull and forehead. Styles are rows of one table."""

from typing import NamedTuple

import numpy as np

from legan.platform.data.rendered.canvas import Canvas, Field, Frame, dome, inside, linear, mix, ramp
from legan.platform.data.rendered.head import CENTRE_V, Identity, Pose, outline_table


class Style(NamedTuple):
    """A haircut; lengths in eye distances, ``length`` is the v where it ends at the sides."""

    volume: float  # above the skull
    sides: float  # beside the skull
    length: float
    fringe: float  # how far it falls over the forehead
    sweep: float  # how much the parting slants the hairline
    curl: float  # 0 straight strands … 1 round curls
    wave: float
    cover: float  # opacity


STYLES = {
    "bald": Style(0.00, 0.00, 0.00, 0.00, 0.0, 0.0, 0.0, 0.0),
    "buzz": Style(0.02, 0.01, 0.10, 0.00, 0.0, 0.5, 0.0, 0.72),
    "short": Style(0.11, 0.05, 0.14, 0.05, 0.1, 0.1, 0.0, 1.0),
    "side_part": Style(0.17, 0.07, 0.18, 0.02, 0.9, 0.0, 0.2, 1.0),
    "curly": Style(0.26, 0.20, 0.42, 0.10, 0.1, 1.0, 0.0, 1.0),
    "up": Style(0.07, 0.02, 0.05, -0.04, 0.2, 0.0, 0.0, 1.0),
    "bob": Style(0.14, 0.19, 1.20, 0.03, 0.6, 0.0, 0.1, 1.0),
    "fringe": Style(0.13, 0.17, 1.35, 0.42, 0.0, 0.0, 0.1, 1.0),
    "long": Style(0.11, 0.15, 3.00, -0.02, 0.4, 0.0, 0.1, 1.0),
    "wavy": Style(0.18, 0.26, 3.00, 0.00, 0.7, 0.2, 1.0, 1.0),
}


def draw_back_hair(canvas: Canvas, who: Identity, frame: Frame, skull: tuple[Field, Field]) -> None:
    """What hangs behind neck and shoulders."""
    style = STYLES[who.hair_style]
    if style.length < 0.5:
        return
    outer = _silhouette(who, style, frame, skull)
    mask = inside(outer, frame.px, 0.03) * ramp((style.length + 0.08 - frame.v) * 6)
    strands = _strands(who, style, frame)
    colour = linear(who.colours.hair) * (0.42 + 0.10 * strands)
    height = -0.75 + 0.20 * ramp(outer * 3) + 0.02 * strands
    canvas.lay(mask, height, colour, gloss=0.0)


def draw_front_hair(canvas: Canvas, who: Identity, frame: Frame, skull: tuple[Field, Field]) -> None:
    """What lies on the skull and falls beside the face; it throws shadows on the forehead."""
    style = STYLES[who.hair_style]
    if style.cover == 0:
        return
    u, v, px, _ = frame
    strands = _strands(who, style, frame)
    outer = _silhouette(who, style, frame, skull)

    line = _hairline(who, style, frame) + (0.014 + 0.02 * style.curl) * strands
    lock = np.minimum(line, outer)
    tip = style.length + 0.03 * strands
    if style.length < 0.5:  # sideburns run out towards the cheek
        tip = tip - 0.9 * np.clip(0.98 * who.face_width - np.abs(u), 0, 0.3)
    ends = ramp((tip - v) * 6)

    mask = inside(line, px, 0.05) * inside(outer, px, 0.03 + 0.03 * style.curl) * ends * style.cover

    across = u / (1.05 * who.face_width + style.sides)
    up = (v - 0.15) / (1.55 + style.volume)
    vault = dome(np.hypot(across, np.minimum(up, 0)), 1.25, 2.0) - 0.34
    thick = 0.03 + 0.5 * min(style.volume + style.sides, 0.4)
    height = vault + thick * ramp(lock / 0.22) + (0.008 + 0.026 * style.curl) * strands
    if who.hair_part and style.sweep:
        parting = who.hair_part * (1 + 0.3 * (v + 0.9))
        height = height - 0.05 * np.exp(-np.square((u - parting) / 0.03)) * ramp((-0.55 - v) * 4)

    tone = np.clip(0.86 + 0.20 * strands, 0.25, 1.6) * (0.55 + 0.45 * ramp(lock / 0.16))
    colour = linear(who.colours.hair) * tone
    if style.cover < 1:
        colour = mix(colour, linear(who.colours.skin) * 0.5, np.full_like(u, 0.25))
    gloss = np.clip(0.05 + 0.04 * strands, 0, 0.2) * (1 - 0.7 * style.curl)

    canvas.lay(mask, height, colour, gloss)


def _silhouette(who: Identity, style: Style, frame: Frame, skull: tuple[Field, Field]) -> Field:
    """Signed distance to the hair's outer edge, positive inside."""
    u, v, _, texture = frame
    volume = who.hair_volume
    radius, skull_edge = skull
    aside = np.square(np.clip(u / (skull_edge * np.maximum(radius, 0.05)), -1, 1))
    above_skull = (style.volume + (style.sides - style.volume) * aside) * volume
    round_edge = skull_edge * (1 - radius) + above_skull
    wide = float(outline_table(who, Pose())[128]) + style.sides * volume
    below = np.clip(v - CENTRE_V, 0, None)
    flare: Field = np.zeros_like(v)
    tuck: Field = np.zeros_like(v)
    if style.length > 0.5:
        flare = 0.10 * volume * ramp(below * 1.2) - 0.16 * np.square(np.clip(below - 0.75, 0, 1)) * (style.length < 2)
    waves = _waves(who, style, frame)
    rough = (0.012 + 0.05 * style.curl) * texture.at(u * 7 + 11, v * 7 + 17)
    if style.length < 0.5:
        tuck = ramp((v - style.length + 0.45) / 0.45) * (0.7 * style.sides * volume + 0.02)
    side_edge = wide + flare + waves - np.abs(u)
    return np.asarray(np.where(v < CENTRE_V, round_edge + waves * ramp((v + 0.4) * 2), side_edge) + rough - tuck)


def _hairline(who: Identity, style: Style, frame: Frame) -> Field:
    """Signed distance to the edge of the bare face, positive on the hair."""
    u, v, _, _ = frame
    top = who.hairline + style.fringe
    lean = style.sweep * 0.16 * np.tanh(2.2 * (u - who.hair_part)) * -float(np.sign(who.hair_part))
    half = np.full_like(v, (0.90 if style.length < 0.5 else 0.88) * who.face_width)
    if style.length > 0.5:
        half = half - 0.03 + 0.10 * ramp((v - 0.75) * 1.2) * (style.wave - 0.4)
    rise = np.clip(0.22 - v, 0, None) / (0.22 - top - lean)
    squareness = 2.6 if style.fringe < 0.3 else 4.5
    around = np.power(np.power(np.abs(u) / half, 2.8) + np.power(rise, squareness), 1 / 2.6)
    return np.asarray((around - 1) * 0.85)


def _strands(who: Identity, style: Style, frame: Frame) -> Field:
    """Noise drawn out along the hair, from the parting down; round for curls."""
    u, v, _, texture = frame
    angle = np.arctan2(u - who.hair_part * (style.sweep > 0.3), 0.55 * (v + 1.75))
    angle = angle + _waves(who, style, frame)
    fine = texture.at(angle * 44, v * 2.0)
    broad = texture.at(angle * 17 + 31, v * 1.2 + 5)
    straight = 0.6 * fine + 0.6 * broad
    if style.curl == 0:
        return straight
    curls = texture.at(u * 15, v * 15) + 0.4 * texture.at(u * 30, v * 30)
    return straight * (1 - style.curl) + style.curl * curls


def _waves(who: Identity, style: Style, frame: Frame) -> Field:
    return 0.05 * style.wave * np.sin(frame.v * 5.5 + (5 + 2 * np.sign(frame.u)) * who.hair_part)
