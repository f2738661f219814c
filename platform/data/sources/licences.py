"""Whose terms hold for a data set's photographs, and for what found the landmarks in them."""

from legan.platform.data.sources.about import OURS, SOURCES, YOURS

BY_SOURCE = {"rendered": OURS} | {name: about.licence for name, about in SOURCES.items() if about.licence != YOURS}
"""The terms of the sources that have some of their own."""
LANDMARKS = {
    "mean": {"name": "a mean face shape, placed by MTCNN (facenet-pytorch)", "licence": "MIT"},
    "exact": {"name": "face-alignment (2DFAN-4)", "licence": "BSD-3-Clause"},
    "aligned": {"name": "a mean face shape", "licence": OURS},
    "rendered": {"name": "exact, as drawn", "licence": OURS},
}
