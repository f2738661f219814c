"""The words that names of lightings are made of, in English and six more languages."""

from functools import cache

_SIDES = (
    ("left", "right"), ("lft", "rgt"), ("l", "r"), ("lt", "rt"), ("lb", "rb"), ("tl", "tr"), ("bl", "br"), ("ul", "ur"),
    ("ll", "lr"), ("links", "rechts"), ("gauche", "droite"), ("izquierda", "derecha"), ("izq", "der"), ("sinistra", "destra"),
    ("esquerda", "direita"), ("左", "右"),
)  # fmt: skip
OTHER_SIDE = dict(_SIDES) | {right: left for left, right in _SIDES}

_PLACES = """
front frontal center centre central middle mid top bottom up upper down lower above below under over overhead back rear behind
ambient vorne mitte oben unten hinten face haut bas frente centro arriba abajo fronte alto basso cima
baixo 正 前 后 中 上 下 顶 底
"""
_STATES = """
side sides sided flash none no without off on dark darkness bright dim low high flat diffuse diffused soft hard harsh even uniform
natural artificial neutral normal room raum indoor indoors outdoor outdoors inside outside day daylight night sun sunny sunlight
cloudy overcast underexposed overexposed slight slightly strong weak shadow shade shaded all any both unknown other 侧
"""
_SAYING_NOTHING = """
light lights lit lighting lamp illumination illum source hand the from at of is half part corner and von vom de di da deg degree
degrees azimuth azim az yaw elevation elev el pitch licht lumiere luz luce 光 灯 面
"""
PLACES = frozenset(_PLACES.split())
"""Where the light is, when it is neither left nor right."""
STATES = frozenset(_STATES.split())
"""What the light is like, which a mirror leaves alone; with a number, as in flash 1, it may be one of several lights."""
FILLING = frozenset(_SAYING_NOTHING.split())
AXES = dict.fromkeys(("a", "az", "azim", "azimuth", "yaw"), "azimuth") | dict.fromkeys(
    ("e", "el", "elev", "elevation", "pitch"), "elevation"
)
"""What a number is that comes after such a word."""
SIGNS = dict.fromkeys(("minus", "m", "neg", "n", "negative"), -1.0) | dict.fromkeys(("plus", "p", "pos", "positive"), 1.0)

_KNOWN = PLACES | STATES | FILLING | set(OTHER_SIDE)
_JOINED = frozenset(word for word in _KNOWN if len(word) > 3) | {"top", "up", "mid", "lit", "sun"}
"""Words that others are written together with, as in leftlight."""


@cache
def words_in(text: str) -> list[str]:
    """The known words that ``text``, small letters, is written of; itself where it is written of others.

    >>> words_in("toplefthand"), words_in("bright"), words_in("window")
    (['top', 'left', 'hand'], ['bright'], ['window'])
    """
    if text in _KNOWN:
        return [text]
    for end in range(len(text) - 2, 1, -1):
        rest = words_in(text[end:])
        if text[:end] in _JOINED and all(word in _JOINED for word in rest):
            return [text[:end], *rest]
    return [text]
