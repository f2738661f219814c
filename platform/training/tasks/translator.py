"""What the trainings of LEGAN and its rivals share: the data, the looks at held-out faces, and the model at the end.

What is looked at is the same each time: the same held-out faces under the same targets, and the distance to true targets.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from legan.models.expression import Predictor
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.models.translator import Translator
from legan.platform.card.scale import scale_of
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, MOST_PEOPLE, Alignment, Dataset
from legan.platform.data.variants.stored import open_variants
from legan.platform.evaluation.figures import labelled_grid
from legan.platform.evaluation.pairs import choose_pairs, label_batch, load_batch, reference_of, response_on
from legan.platform.model import Model, write_model
from legan.platform.pixels import to_images, to_tensor
from legan.platform.settings import TranslatorSettings
from legan.platform.training.batches import Images, Rows, choose_variants, drawn_images, rows_of_step
from legan.platform.training.colours import colour_variants, variant_shares
from legan.platform.training.parallel import Ranks, step_generator
from legan.platform.training.task import Goal, Image
from legan.platform.training.tasks.stated import data_facts, matcher_facts, predictor_facts, quality_facts

PAIRS, BATCH = 64, 32
FACES, LIGHTINGS = 4, 6


class TranslatorTask:
    """The training split, and what is done with ``translator``; see Task for the methods.

    ``quality``, ``predictor`` and ``matcher`` go into the model folder, with what is measured of them at the end; ``info`` too,
    beside what the run says of itself.
    """

    exports: Literal["best", "last"] = "last"

    def __init__(
        self,
        settings: TranslatorSettings,
        data: Dataset,
        ranks: Ranks,
        translator: Translator,
        images_per_step: int,
        quality: QualityModel | None = None,
        info: Mapping[str, Any] | None = None,
        predictor: Predictor | None = None,
        matcher: LightCNN | FacenetIdentity | None = None,
    ):
        self.data, self.ranks, self.schema = data, ranks, data.schema
        self.seed, self.translator, self.images_per_step = settings.seed, translator, images_per_step
        self.quality, self.predictor, self.matcher = quality, predictor, matcher
        self.info: Mapping[str, Any] = {"data_hash": data.content_hash, **(info or {})}
        self.people = set(data.people("train"))
        self.rows = data.rows("train")
        self.total_steps = settings.total_steps(len(self.rows), images_per_step)
        self.colours = colour_variants(settings, data) if settings.in_other_colours else ()
        self.variant_shares = variant_shares(settings) if self.colours else [1.0]
        self.pairs = held_out_pairs(data)
        self.goal = goal_of(self.pairs)
        self.flips = self.schema.flip_indices() if settings.flip else None
        self.expression = torch.from_numpy(data.expression)
        self.lighting = torch.from_numpy(data.lighting)

    def draw(self, step: int) -> tuple[Rows, Tensor, Tensor, Tensor, torch.Generator]:
        """The step's rows, their expressions and lightings, which of them are mirrored, and the generator of further draws.

        All are of the whole batch over all workers; the lightings are those of the mirrored images.
        """
        rows = rows_of_step(self.rows, self.images_per_step, step, self.seed)
        generator = step_generator(self.seed, step)
        index = torch.from_numpy(rows)
        expression, lighting = self.expression[index], self.lighting[index]
        mirrored = torch.rand(self.images_per_step, generator=generator) < 0.5
        if self.flips is None:
            mirrored = torch.zeros_like(mirrored)
        else:
            lighting = torch.where(mirrored, self.flips[lighting], lighting)
        return rows, expression, lighting, mirrored, generator

    def draw_variants(self, count: int, generator: torch.Generator) -> Rows:
        """Which variant of its image each of ``count`` draws is, as ``images`` takes them."""
        return choose_variants(count, self.variant_shares, generator)

    def images(self, rows: Rows, chosen: Rows) -> Tensor:
        """The chosen variants of these rows, uint8 n×3×H×W."""
        return to_tensor(drawn_images(self.data.images, self.variants, rows, chosen))

    def validate(self) -> dict[str, float]:
        """Mean L1 distance to the true targets of held-out subjects, or of the cycle where there are no targets."""
        return held_out_distance(self.translator, self.data, self.pairs, self.ranks.device)

    def doubts(self) -> list[str]:
        """Whether the translator has collapsed."""
        answers = response_on(self.translator, self.schema, self.data, self.ranks.device)
        return [f"G has collapsed: {answers.collapse}"] if answers is not None and answers.collapse is not None else []

    def remarks(self) -> list[str]:
        """Whether the translator has collapsed, how Q rates real faces, and whether it rates the model's own above them."""
        if self.quality is None:
            return self.doubts()
        scale = scale_of(self.stated)
        outputs = "" if scale.fake_mean is None else f"; this model's outputs: {scale.fake_mean:.1f}"
        return [*self.doubts(), f"quality is by {scale.words}{outputs}", *([scale.warning] if scale.warning else [])]

    def samples(self) -> dict[str, Image]:
        """The same held-out faces under the same targets, and the masks Me and Ml of a generator that has them."""
        return sample_grids(self.translator, self.data, self.ranks.device)

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """A model folder: the translator, what there is of Q, label predictor and matcher, and what was measured of them."""
        write_model(
            folder,
            Model(
                generator=self.translator,
                quality=self.quality,
                schema=self.schema,
                image_size=self.data.image_size,
                alignment=Alignment.from_dict(self.data.alignment) if self.data.alignment else DEFAULT_ALIGNMENT,
                info={**provenance, **self.info, **self.stated},
                predictor=self.predictor,
                matcher=self.matcher,
                people=tuple(sorted(self.people)[:MOST_PEOPLE]),
            ),
        )

    @cached_property
    def variants(self) -> list[Images]:
        """The data set's images in other colours, as ``variant_shares`` has them."""
        return open_variants(self.data, self.colours) if self.colours else []

    @cached_property
    def stated(self) -> dict[str, Any]:
        """What the model says of itself, measured with the weights that it has when this is first asked for."""
        data, device = self.data, self.ranks.device
        stated = {"data": data_facts(data), "colours": [variant.called for variant in self.colours]}
        if self.quality is not None:
            stated["quality"] = quality_facts(self.quality, self.info.get("simulated_ratings"), self.translator, data, device)
        if self.predictor is not None:
            stated["predictor"] = predictor_facts(self.predictor, data, device)
        if self.matcher is not None:
            stated["matcher"] = matcher_facts(self.matcher, self.info.get("identity_weights"), data, device)
        return stated


def held_out_pairs(data: Dataset) -> pd.DataFrame | None:
    """The translations that validation asks for, on the validation split; None where there is none."""
    return choose_pairs(data, PAIRS, seed=0, split="val") if len(data.real_rows("val")) else None


def goal_of(pairs: pd.DataFrame | None) -> Goal:
    """The smaller the distance, the better; with nobody held out no checkpoint is called best."""
    return Goal(f"val/{_distance_name(pairs)}", "min")


def held_out_distance(G: Translator, data: Dataset, pairs: pd.DataFrame | None, device: torch.device) -> dict[str, float]:
    """Mean L1 of translations to their true targets; of the cycle to the source where the data has no targets."""
    if pairs is None:
        return {}
    paired = reference_of(pairs) == "target"
    distances = []
    with torch.inference_mode():
        for start in range(0, len(pairs), BATCH):
            piece = pairs.iloc[start : start + BATCH]
            source = piece["source_row"].to_numpy(np.int64)
            x = load_batch(data, source, device)
            image = G(x, data.schema.encode(*label_batch(data.schema, piece, device))).image
            if paired:
                reference = load_batch(data, piece["target_row"].to_numpy(np.int64), device)
            else:
                image, reference = G(image, _labels(data, source).to(device)).image, x  # there and back
            distances.append(F.l1_loss(image.double(), reference.double(), reduction="none").mean(dim=(1, 2, 3)))
    return {f"val/{_distance_name(pairs)}": float(torch.cat(distances).mean())}


def sample_grids(G: Translator, data: Dataset, device: torch.device) -> dict[str, Image]:
    """Translations of up to 4 validation faces, and the masks Me and Ml, each as one labelled picture."""
    rows = _faces(data)
    schema = data.schema
    lightings = np.unique(np.linspace(0, len(schema.lightings) - 1, LIGHTINGS).round().astype(np.int64))
    of_expression = [(e, None) for e in range(len(schema.expressions))] if len(schema.expressions) > 1 else []
    of_lighting = [(None, int(index)) for index in lightings] if len(schema.lightings) > 1 else []
    targets: list[tuple[int | None, int | None]] = [*of_expression, *of_lighting]
    names = [schema.expressions[e] if e is not None else schema.lightings[light or 0] for e, light in targets]

    x = load_batch(data, rows, device)
    columns: dict[str, list[Tensor]] = {"translation": [], "expression_mask": [], "lighting_mask": []}
    with torch.inference_mode():
        for e, light in targets:
            f = _labels(data, rows, e, light).to(device)
            translation = G(x, f)
            columns["translation"].append(translation.image)
            if translation.expression_mask is not None and translation.lighting_mask is not None:
                columns["expression_mask"].append(translation.expression_mask)
                columns["lighting_mask"].append(translation.lighting_mask)

    sources = data.images[rows]
    grids = {}
    for key, images in columns.items():
        if images:
            tiles = [sources, *(to_images(image) for image in images)]
            cells = [[column[i] for column in tiles] for i in range(len(rows))]
            grids[f"samples/{key}"] = labelled_grid(cells, ["input", *names], [""] * len(rows))
    return grids


def _distance_name(pairs: pd.DataFrame | None) -> str:
    return "l1_to_target" if pairs is not None and reference_of(pairs) == "target" else "l1_cycle"


def _faces(data: Dataset) -> Rows:
    """One face each of up to 4 subjects of the validation split, or else of the training split: never of test people."""
    rows = next(rows for rows in (data.real_rows("val"), data.rows("train")) if len(rows))
    first = np.unique(data.subject[rows], return_index=True)[1]
    return rows[first[:FACES]]


def _labels(data: Dataset, rows: Rows, expression: int | None = None, lighting: int | None = None) -> Tensor:
    """Label vectors of these rows, with the expression or the lighting replaced."""
    own_expression, own_lighting = torch.from_numpy(data.expression[rows]), torch.from_numpy(data.lighting[rows])
    return data.schema.encode(
        own_expression if expression is None else torch.full_like(own_expression, expression),
        own_lighting if lighting is None else torch.full_like(own_lighting, lighting),
    )
