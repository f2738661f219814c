"""Training of Q, the quality model (section 3), on rated images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from legan.models.quality import QUALITY_LOSSES, QualityModel
from legan.platform.data.dataset import spread
from legan.platform.data.ratings.ratings import Ratings
from legan.platform.settings import QualitySettings
from legan.platform.training.batches import rows_of_split
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Goal
from legan.platform.training.tasks.supervised import LOOKED_AT, REMEDY, Labelled, SupervisedTask, in_batches


def quality_task(settings: QualitySettings, ratings: Ratings, ranks: Ranks) -> SupervisedTask:
    """Q on mean and standard deviation of the ratings; validated by mean absolute error, correlation and share inside σ."""
    train, held_out = rows_of_split(ratings.split, "train"), rows_of_split(ratings.split, "val")
    labels = {"mean": torch.from_numpy(ratings.mean).float(), "std": torch.from_numpy(ratings.std).float()}
    numbers: dict[str, Any] = {
        "image_size": settings.image_size,
        "width": settings.width,
        "layers": settings.layers,
        "hidden": settings.hidden,
        "mean_rating": round(float(ratings.mean[train].mean()), 4),
    }
    rating_loss = QUALITY_LOSSES[settings.loss]

    def loss(network: nn.Module, x: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        prediction = network(x).float()
        error = (prediction.detach() - labels["mean"]).abs().mean()
        return {"total": rating_loss(labels["mean"], labels["std"], prediction), "absolute_error": error}

    def validation(network: nn.Module) -> dict[str, float]:
        if len(held_out) < 3:
            return {}
        from scipy.stats import pearsonr  # takes a second that not every training worker should wait for

        prediction = torch.cat(in_batches(network, ratings.images, held_out, ranks.device)).float().cpu()
        error = (prediction - labels["mean"][torch.from_numpy(held_out)]).abs()
        return {
            "val/rating_error": float(error.mean()),
            "val/rating_correlation": float(pearsonr(prediction.numpy(), ratings.mean[held_out]).statistic),
            "val/share_inside_margin": float((error <= labels["std"][torch.from_numpy(held_out)]).float().mean()),
        }

    def remarks(network: nn.Module) -> list[str]:
        rows = spread(train, LOOKED_AT)
        prediction = torch.cat(in_batches(network, ratings.images, rows, ranks.device)).float().cpu()
        wanted = labels["mean"][torch.from_numpy(rows)]
        missed, mean_missed = (float((each - wanted).square().mean().sqrt()) for each in (prediction, wanted.mean()))
        if missed < mean_missed:
            return []
        return [
            f"Q has learnt nothing: it misses the ratings of its training images by {missed:.2f} (root mean square), where "
            f"always their mean would by {mean_missed:.2f}; {REMEDY}"
        ]

    return SupervisedTask(
        settings,
        Labelled(ratings.images, labels, train),
        QualityModel(**numbers),
        ranks,
        kind="quality",
        numbers=numbers,
        loss=loss,
        validation=validation,
        goal=Goal("val/rating_error", "min"),
        mirror=lambda labels, mirrored: labels,
        clip=settings.clip_gradient,
        info=ratings.provenance,
        remarks=remarks,
    )
