"""Whose terms hold for a data set's photographs, and for what found the landmarks in them."""

OURS = "Apache-2.0"
BY_SOURCE = {
    "aflw": "non-commercial research only (AFLW)",
    "celeba": "non-commercial research only (CelebA)",
    "multipie": "research, by licence from Carnegie Mellon University (CMU Multi-PIE)",
    "rendered": OURS,
    "yale": "research only (The Yale Face Database)",
}
"""The terms of the sources that have some of their own."""
LANDMARKS = {
    "mean": {"name": "a mean face shape, placed by MTCNN (facenet-pytorch)", "licence": "MIT"},
    "exact": {"name": "face-alignment (2DFAN-4)", "licence": "BSD-3-Clause"},
    "aligned": {"name": "a mean face shape", "licence": OURS},
    "rendered": {"name": "exact, as drawn", "licence": OURS},
}
