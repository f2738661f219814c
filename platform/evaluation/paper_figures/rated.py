"""Figure 10: rated faces with the mean ± standard deviation of their raters, and what Q predicts."""

from pathlib import Path

import numpy as np
import torch

from legan.platform.data.ratings.ratings import mask_problem, read_ratings
from legan.platform.errors import ConfigError, Problems
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.paper_figures.asked import SPLIT, TILE, DrawnFigure, FigureRequest, in_turns
from legan.platform.evaluation.ratings.report import expect_quality, predict
from legan.platform.model import QUALITY, load_network, network_folder, weights_hash

ACROSS = 6


def draw_rated(request: FigureRequest, problems: Problems, device: torch.device) -> DrawnFigure:
    """Faces of the ratings' split test, of as many sources as there are, the best rated first; ConfigError with every problem."""
    rated, quality = request.ratings or Path(), request.quality or Path()
    network = problems.from_(lambda: load_network(network_folder(quality), *QUALITY), "--quality")
    model = None if network is None else problems.from_(lambda: expect_quality(network))
    size = None if model is None else model.image_size
    ratings = problems.from_(lambda: read_ratings(rated, size), "--ratings")
    if ratings is not None:
        whole = mask_problem(ratings)
        if whole is not None:
            problems.add("--ratings", whole)
        if not (ratings.split == SPLIT).any():
            problems.add("--ratings", f"it has no image of the split {SPLIT}, which Q is not trained on; collect more ratings")
    if problems or network is None or model is None or ratings is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    rows = np.random.default_rng(request.seed).permutation(np.flatnonzero(ratings.split == SPLIT))
    rows = rows[in_turns(ratings.source[rows])][: request.faces]
    rows = rows[np.argsort(-ratings.mean[rows], kind="stable")]
    table = predict(ratings.only(rows), model, device)
    faces = table.to_dict("records")
    captions = [f"{face['source']}\nraters {face['mean']:.1f} ± {face['std']:.1f}\nQ {face['prediction']:.1f}" for face in faces]
    across = min(ACROSS, len(faces))
    lines = range(0, len(faces), across)
    pictures: list[Picture | None] = [*ratings.images[rows], *[None] * (-len(faces) % across)]
    captions += [""] * (len(pictures) - len(captions))
    raters = "SIMULATED raters" if ratings.simulated else "raters"
    picture = labelled_grid(
        [pictures[start : start + across] for start in lines],
        [""] * across,
        [""] * len(lines),
        f"{rated.name} ({SPLIT}): mean ± standard deviation of the {raters}, and what {quality.name} predicts",
        [captions[start : start + across] for start in lines],
        TILE,
    )
    about = {
        "quality": {"quality": str(quality), "weights_hash": weights_hash(model)},
        "ratings": {
            "name": rated.name,
            "hash": ratings.content_hash,
            "split": SPLIT,
            "simulated": ratings.simulated,
            "held_out_of_the_training_of_Q": "yes" if network.info.get("ratings_hash") == ratings.content_hash else "unknown",
        },
        "faces": faces,
    }
    inside = int(table["inside"].sum())
    said = f"Q is inside the margin (|µ − Q| ≤ σ) of {inside} of {len(faces)} faces; `legan ratings report` has all."
    return DrawnFigure(picture, about, rated.name, (said,))
