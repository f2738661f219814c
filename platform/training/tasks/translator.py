"""What the trainings of LEGAN and its rivals share: the data, the looks at held-out faces, and the model at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from legan.models.quality import QualityModel
from legan.models.translator import Translator
from legan.platform.data.align import DEFAULT_ALIGNMENT, Alignment
from legan.platform.data.dataset import Dataset
from legan.platform.model import Model, write_model
from legan.platform.settings import TranslatorSettings
from legan.platform.training.batches import Rows, rows_of_step
from legan.platform.training.optimise import total_steps
from legan.platform.training.parallel import Ranks, step_generator
from legan.platform.training.samples import goal_of, held_out_distance, held_out_pairs, sample_grids
from legan.platform.training.task import Image


class TranslatorTask:
    """The training split, and what is done with ``translator``; see Task for the methods.

    ``quality`` goes into the model folder; ``info`` too, beside what the run says of itself.
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
    ):
        self.data, self.ranks, self.schema = data, ranks, data.schema
        self.seed, self.translator, self.images_per_step = settings.seed, translator, images_per_step
        self.quality = quality
        self.info: Mapping[str, Any] = {"data_hash": data.content_hash, **(info or {})}
        self.rows = data.rows("train")
        self.total_steps = total_steps(settings, len(self.rows), images_per_step)
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

    def validate(self) -> dict[str, float]:
        """Mean L1 distance to the true targets of held-out subjects, or of the cycle where there are no targets."""
        return held_out_distance(self.translator, self.data, self.pairs, self.ranks.device)

    def samples(self) -> dict[str, Image]:
        """The same held-out faces under the same targets, and the masks Me and Ml of a generator that has them."""
        return sample_grids(self.translator, self.data, self.ranks.device)

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """A model folder with the translator and, where there is one, Q."""
        write_model(
            folder,
            Model(
                generator=self.translator,
                quality=self.quality,
                schema=self.schema,
                image_size=self.data.image_size,
                alignment=Alignment.from_dict(self.data.alignment) if self.data.alignment else DEFAULT_ALIGNMENT,
                info={**provenance, **self.info},
            ),
        )
