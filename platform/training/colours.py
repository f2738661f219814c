"""In which colours a training shows its images: as they are, and white-balanced (section 5)."""

from functools import partial

from legan.platform.data.variants.stored import ImageVariant
from legan.platform.errors import Problems
from legan.platform.settings import TranslatorSettings
from legan.platform.weights import DEEP_EDITOR, check_weights


def colour_variants(settings: TranslatorSettings) -> tuple[ImageVariant, ...]:
    """The variants of its images that a training draws."""
    if not settings.white_balance:
        return ()
    if settings.white_balance_by == "deep_editor":
        from legan.platform.data.variants.deep_editor import edited

        before, words, change = "deep-editor", "the deep editor's white balance", edited
    else:
        from legan.platform.data.variants.white_balance import white_balanced

        before, words, change = "white-balance", "white balance", white_balanced
    return tuple(
        ImageVariant(f"{before}-{name}", f"{words} {name}", partial(change, setting=name)) for name in settings.white_balance
    )


def colour_problems(settings: TranslatorSettings) -> Problems:
    """Why the variants cannot be made: the weights of the editor that makes them are missing, or others."""
    problems = Problems()
    if settings.white_balance and settings.white_balance_by == "deep_editor":
        problems.from_(partial(check_weights, DEEP_EDITOR), "white_balance_by")
    return problems


def variant_shares(settings: TranslatorSettings) -> list[float]:
    """How often an image is drawn as it is, and as each of ``colour_variants``, as ``choose_variants`` takes them."""
    shares, balances = settings.colour_shares, settings.white_balance
    return [shares.as_it_is, *(shares.white_balanced / len(balances) for _ in balances)]
