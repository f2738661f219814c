"""Training of the independent judge of expression and lighting, which evaluation asks and no generator is trained with."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.expression import AttributeClassifier
from legan.platform.data.dataset import Dataset, spread
from legan.platform.settings import ClassifierSettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Goal
from legan.platform.training.tasks.supervised import LOOKED_AT, Labelled, SupervisedTask, in_batches, unlearnt


def classifier_task(settings: ClassifierSettings, data: Dataset, ranks: Ranks) -> SupervisedTask:
    """The judge on the data set's own labels; validated by its accuracy on held-out subjects."""
    numbers = {
        "expressions": len(data.schema.expressions),
        "lightings": len(data.schema.lightings),
        "image_size": data.image_size,
        "width": settings.width,
    }
    labels = {"expression": torch.from_numpy(data.expression), "lighting": torch.from_numpy(data.lighting)}
    held_out = data.real_rows("val")
    flips = data.schema.flip_indices()

    def mirror(labels: Mapping[str, Tensor], mirrored: Tensor) -> Mapping[str, Tensor]:
        if flips is None:
            raise ValueError("flip needs a schema that says what mirroring does to each lighting")
        return {**labels, "lighting": torch.where(mirrored, flips[labels["lighting"]], labels["lighting"])}

    def validation(network: nn.Module) -> dict[str, float]:
        if len(held_out) == 0:
            return {}
        index = torch.from_numpy(held_out)
        answers = in_batches(network, data.images, held_out, ranks.device)
        expression = torch.cat([answer[0] for answer in answers]).argmax(1).cpu() == labels["expression"][index]
        lighting = torch.cat([answer[1] for answer in answers]).argmax(1).cpu() == labels["lighting"][index]
        return {
            "val/expression_accuracy": float(expression.float().mean()),
            "val/lighting_accuracy": float(lighting.float().mean()),
            "val/both_accuracy": float((expression & lighting).float().mean()),
        }

    def remarks(network: nn.Module) -> list[str]:
        rows = spread(data.rows("train"), LOOKED_AT)
        answers = in_batches(network, data.images, rows, ranks.device)
        found: list[str] = []
        for index, (name, of) in enumerate(labels.items()):
            if numbers[f"{name}s"] > 1:
                given = torch.cat([answer[index] for answer in answers]).argmax(1).cpu()
                found += unlearnt("the judge", f"the {name}s", given, of[torch.from_numpy(rows)])
        return found

    return SupervisedTask(
        settings,
        Labelled(data.images, labels, data.rows("train")),
        AttributeClassifier(**numbers),
        ranks,
        kind="attribute_classifier",
        numbers=numbers,
        loss=attribute_loss,
        validation=validation,
        goal=Goal("val/both_accuracy", "max"),
        mirror=mirror,
        info={"schema": data.schema.to_dict(), "data_hash": data.content_hash},
        people=data.people("train"),
        remarks=remarks,
    )


def attribute_loss(network: nn.Module, x: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Two softmax cross-entropies."""
    expression, lighting = network(x)
    terms = {
        "expression": F.cross_entropy(expression.float(), labels["expression"]),
        "lighting": F.cross_entropy(lighting.float(), labels["lighting"]),
    }
    return {"total": terms["expression"] + terms["lighting"], **terms}
