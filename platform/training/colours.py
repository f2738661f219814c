"""In which colours a training shows its images: as they are, recoloured, and white-balanced (section 5)."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from legan.models.colours.deep_editor import MULTIPLE
from legan.platform.data.dataset import Dataset
from legan.platform.data.variants.stored import WRITABLE, Images, ImageVariant, open_variants, variant_file
from legan.platform.errors import Problems
from legan.platform.files import sha256, unwritable
from legan.platform.settings import TranslatorSettings
from legan.platform.weights import DEEP_EDITOR, check_weights

CPU = torch.device("cpu")


def colour_variants(settings: TranslatorSettings, data: Dataset, device: torch.device = CPU) -> tuple[ImageVariant, ...]:
    """The variants of its images that a training draws, recoloured ones first; networks make them on ``device``."""
    return (*_recolored(settings, data.image_size, device), *_balanced(settings, device))


def colour_problems(settings: TranslatorSettings, data: Dataset | None) -> Problems:
    """Why variants cannot be made or read: the editor's weights or the images' size, no place for them, or damaged ones."""
    problems = Problems()
    by_editor = settings.white_balance and settings.white_balance_by == "deep_editor"
    if by_editor:
        problems.from_(partial(check_weights, DEEP_EDITOR), "white_balance_by")
    if by_editor and data is not None and data.image_size % MULTIPLE:
        message = f"the editor takes images of a multiple of {MULTIPLE} pixels, not {data.image_size}; set adaptation instead"
        problems.add("white_balance_by", message)
    if data is None or problems:
        return problems
    for each in colour_variants(settings, data):
        file = variant_file(data, each.name)
        why = unwritable(file.parent)
        if file.is_file():
            problems.from_(partial(open_variants, data, [each]), "data")
        elif why is not None:
            problems.add("data", f"images in other colours are kept in {file.parent}, and {why}; {WRITABLE}")
            break
    return problems


def _recolored(settings: TranslatorSettings, image_size: int, device: torch.device) -> Iterator[ImageVariant]:
    for folder in settings.recolor:
        digest = "-".join(sha256(file)[:12] for file in sorted(folder.glob("*.safetensors")))  # which costs no network
        name = folder.parent.name if folder.name == "model" else folder.name
        yield ImageVariant(f"recolored-{digest}", f"colours of {name}", partial(_recolouring, folder, image_size, device))


def _recolouring(folder: Path, image_size: int, device: torch.device) -> Callable[[Images], Images]:
    from legan.platform.evaluation.recolorer import load_recolorer

    return load_recolorer(folder, image_size, device).recolour


def _balanced(settings: TranslatorSettings, device: torch.device) -> Iterator[ImageVariant]:
    for name in settings.white_balance:
        if settings.white_balance_by == "deep_editor":
            yield ImageVariant(f"deep-editor-{name}", f"the deep editor's white balance {name}", partial(_editing, name, device))
        else:
            yield ImageVariant(f"white-balance-{name}", f"white balance {name}", partial(_balancing, name))


def _editing(name: str, device: torch.device) -> Callable[[Images], Images]:
    from legan.platform.data.variants.deep_editor import editing

    return editing(name, device)


def _balancing(name: str) -> Callable[[Images], Images]:
    from legan.platform.data.variants.white_balance import white_balanced

    return partial(white_balanced, setting=name)


def variant_shares(settings: TranslatorSettings) -> list[float]:
    """How often an image is drawn as it is, and as each of ``colour_variants``, as ``choose_variants`` takes them."""
    shares, recolourers, balances = settings.colour_shares, settings.recolor, settings.white_balance
    return [
        shares.as_it_is,
        *(shares.recolored / len(recolourers) for _ in recolourers),
        *(shares.white_balanced / len(balances) for _ in balances),
    ]
