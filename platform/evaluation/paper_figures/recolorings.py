"""Figure 18: test people as they are, made grey, and in the colours of trained recolourers."""

from pathlib import Path

import torch

from legan.models.recolor import greyed
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, Problems
from legan.platform.evaluation.evaluate import plain_name
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.paper_figures.asked import (
    SPLIT,
    TILE,
    DrawnFigure,
    FigureRequest,
    about_data,
    about_face,
    chosen_faces,
)
from legan.platform.evaluation.recolorer import Recolorer, load_recolorer
from legan.platform.pixels import network_input, to_images


def draw_recolorings(request: FigureRequest, problems: Problems, device: torch.device) -> DrawnFigure:
    """A row per face; ConfigError with every problem, those already found among them."""
    data = problems.from_(lambda: open_dataset(request.folder), "--data")
    rows = None if data is None else problems.from_(lambda: chosen_faces(data, request.faces, request.seed), "--data")
    named: dict[str, tuple[Path, Recolorer]] = {}
    for path in request.recolor:
        name = plain_name(str(path))
        if name in named:
            problems.add(f"--recolor {path}", f"there is another recolourer that is called {name}; give each once")
        loaded = None if data is None else _loaded(path, data, problems, device)
        if loaded is not None:
            named[name] = (path, loaded)
    if problems or data is None or rows is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    images = data.images[rows]
    columns: dict[str, list[Picture | None]] = {"original": list(images)}
    columns["grey"] = list(to_images(greyed(network_input(images, torch.device("cpu")))))
    columns |= {name: list(recolorer.recolour(images)) for name, (_, recolorer) in named.items()}
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    names = [data.schema.named(str(face.expression), str(face.lighting)) for face in data.faces.iloc[rows].itertuples()]
    picture = labelled_grid(cells, list(columns), names, f"Recolourings of {data.name} ({SPLIT})", smallest=TILE)
    about = {
        "recolourers": [
            {"name": name, "recolourer": str(path), "weights_hash": recolorer.digest} for name, (path, recolorer) in named.items()
        ],
        "data": about_data(data),
        "faces": [about_face(data, row) for row in rows],
    }
    return DrawnFigure(picture, about, data.name)


def _loaded(path: Path, data: Dataset, problems: Problems, device: torch.device) -> Recolorer | None:
    return problems.from_(lambda: load_recolorer(path, data.image_size, device), f"--recolor {path}")
