"""Tables of words for the terminal, which a pipe gets as well."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its longest word.

    >>> aligned([["", "first"], ["SSIM", "0.748"]])
    ['      first', 'SSIM  0.748']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
