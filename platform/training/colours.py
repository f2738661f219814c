"""In which colours a training shows its images: as they are, recoloured, and white-balanced (section 5)."""

import hashlib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from legan.platform.data.dataset import Dataset
from legan.platform.data.variants.stored import Images, ImageVariant
from legan.platform.errors import Problems
from legan.platform.settings import TranslatorSettings
from legan.platform.weights import DEEP_EDITOR, check_weights

if TYPE_CHECKING:
    from legan.platform.training.recolorer import Recolorer


def colour_variants(settings: TranslatorSettings) -> tuple[ImageVariant, ...]:
    """The variants of its images that a training draws: recoloured ones first."""
    return (*_recolored(settings), *_balanced(settings))


def _recolored(settings: TranslatorSettings) -> Iterator[ImageVariant]:
    for folder in settings.recolor:
        name = folder.parent.name if folder.name == "model" else folder.name
        yield ImageVariant(f"recolored-{_digest(folder)}", f"colours of {name}", partial(_recolour, folder))


def _digest(folder: Path) -> str:
    """The start of the hash of a recolourer's weights as they lie there, which costs no network."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _recolour(folder: Path, images: Images) -> Images:
    return _recolorer(folder, images.shape[1]).recolour(images)


@cache
def _recolorer(folder: Path, image_size: int) -> "Recolorer":
    from legan.platform.training.recolorer import load_recolorer

    return load_recolorer(folder, image_size)


def _balanced(settings: TranslatorSettings) -> tuple[ImageVariant, ...]:
    if settings.white_balance_by == "deep_editor":
        from legan.platform.data.variants.deep_editor import edited

        before, words, change = "deep-editor", "the deep editor's white balance", edited
    else:
        from legan.platform.data.variants.white_balance import white_balanced

        before, words, change = "white-balance", "white balance", white_balanced
    return tuple(
        ImageVariant(f"{before}-{name}", f"{words} {name}", partial(change, setting=name)) for name in settings.white_balance
    )


def colour_problems(settings: TranslatorSettings, data: Dataset | None) -> Problems:
    """Why the variants cannot be made: a recolourer is for another size, or the editor's weights are missing, or others."""
    problems = Problems()
    if data is not None:
        for folder in settings.recolor:
            problems.from_(partial(_recolorer, folder, data.image_size), "recolor")
    if settings.white_balance and settings.white_balance_by == "deep_editor":
        problems.from_(partial(check_weights, DEEP_EDITOR), "white_balance_by")
    return problems


def variant_shares(settings: TranslatorSettings) -> list[float]:
    """How often an image is drawn as it is, and as each of ``colour_variants``, as ``choose_variants`` takes them."""
    shares, recolourers, balances = settings.colour_shares, settings.recolor, settings.white_balance
    return [
        shares.as_it_is,
        *(shares.recolored / len(recolourers) for _ in recolourers),
        *(shares.white_balanced / len(balances) for _ in balances),
    ]
