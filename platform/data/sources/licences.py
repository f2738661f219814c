"""Whose terms hold for a data set's photographs, and for what found the landmarks in them."""

from typing import Any

from legan.platform.data.dataset import Dataset

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


def licence_of(data: Dataset) -> str | None:
    """The licence that a data set was given, or its source's; None where nobody has said one."""
    given = data.info.get("licence")
    return str(given) if given else BY_SOURCE.get(data.source)


def landmarks_of(data: Dataset) -> dict[str, str] | None:
    """Name and licence of what found the landmarks; None where the data set does not tell."""
    if data.source == "rendered":
        return LANDMARKS["rendered"]
    options = data.info.get("options", {})
    return LANDMARKS["aligned"] if options.get("aligned") else LANDMARKS.get(options.get("landmarks"))


def data_facts(data: Dataset) -> dict[str, Any]:
    """What a model says of its data, as plain values for JSON; ``people`` counts those of the training split."""
    return {
        "name": data.name,
        "source": data.source,
        "people": len(set(data.subject[data.rows("train")].tolist())),
        "licence": licence_of(data),
        "landmarks": landmarks_of(data),
    }
