"""The paper's Tables 11, 12 and 13 as data, by suite, under the variants' names in ablations.py."""

from collections.abc import Mapping

from legan.platform.evaluation.tables.paper import PaperTable, paper_row

DATA = "CMU Multi-PIE, held-out subjects"
LEGAN_ROW = paper_row(29.964, 0.120, 0.649, 0.649, 5.853)
"""The full model's row, the same in all three tables."""

PAPER: Mapping[str, PaperTable] = {
    "losses": PaperTable(
        11,
        DATA,
        "target",
        {
            "wo/ disentangling": paper_row(40.244, 0.148, 0.557, 0.601, 5.348),
            "wo/ Ladv": paper_row(351.511, 0.460, 0.352, 0.476, 1.74),
            "wo/ Lcls": paper_row(30.236, 0.139, 0.425, 0.717, 5.873),
            "wo/ Lrec": paper_row(40.479, 0.135, 0.550, 0.676, 5.475),
            "wo/ Lqual": paper_row(46.420, 0.168, 0.544, 0.621, 5.190),
            "wo/ Lid": paper_row(35.429, 0.140, 0.566, 0.587, 5.861),
            "LEGAN": LEGAN_ROW,
        },
    ),
    "upsampling": PaperTable(
        12,
        DATA,
        "target",
        {
            "Bilinear Interpolation": paper_row(29.933, 0.128, 0.630, 0.653, 5.823),
            "Transposed Convolution": paper_row(28.585, 0.125, 0.635, 0.644, 5.835),
            "Pixel Shuffling": LEGAN_ROW,
        },
    ),
    "q": PaperTable(
        13,
        DATA,
        "target",
        {
            "q = 5": paper_row(41.275, 0.143, 0.550, 0.642, 5.337),
            "q = 6": paper_row(44.566, 0.139, 0.542, 0.651, 5.338),
            "q = 7": paper_row(38.684, 0.137, 0.631, 0.663, 5.585),
            "q = 8": LEGAN_ROW,
            "q = 9": paper_row(42.772, 0.137, 0.637, 0.659, 5.686),
            "q = 10": paper_row(46.467, 0.132, 0.586, 0.583, 5.711),
        },
    ),
}

FULL_MODEL: Mapping[str, str] = {
    "losses": "LEGAN",
    "upsampling": "Pixel Shuffling",
    "q": "q = 8",
    "classification": "Binary, mean",
    "margin": "Eq. 1",
}
"""The row that is the paper's LEGAN, which the others are compared with."""
