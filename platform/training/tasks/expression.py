"""Training of Table 5's classifier, which reads the expression of faces, real ones and translations alike."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.expression import ExpressionClassifier
from legan.platform.data.dataset import Dataset, spread
from legan.platform.evaluation.expression.auc import class_aucs
from legan.platform.settings import ExpressionSettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Goal
from legan.platform.training.tasks.supervised import LOOKED_AT, Labelled, SupervisedTask, in_batches, unlearnt


def expression_task(settings: ExpressionSettings, data: Dataset, ranks: Ranks) -> SupervisedTask:
    """The classifier on the data set's own labels; validated by its mean ROC AUC on real faces of held-out subjects."""
    numbers: dict[str, Any] = {
        "expressions": len(data.schema.expressions),
        "image_size": data.image_size,
        "width": settings.width,
        "hidden": settings.hidden,
        "dropout": settings.dropout,
    }
    labels, held_out = torch.from_numpy(data.expression), data.real_rows("val")

    def validation(network: nn.Module) -> dict[str, float]:
        own = labels[torch.from_numpy(held_out)]
        shown = sorted(set(own.tolist()))
        if len(shown) < 2:
            return {}
        logits = torch.cat(in_batches(network, data.images, held_out, ranks.device)).float().cpu()
        aucs = class_aucs(logits.softmax(1), own, shown)
        return {
            "val/expression_auc": sum(aucs) / len(aucs),
            "val/expression_accuracy": float((logits.argmax(1) == own).float().mean()),
        }

    def remarks(network: nn.Module) -> list[str]:
        rows = spread(data.rows("train"), LOOKED_AT)
        given = torch.cat(in_batches(network, data.images, rows, ranks.device)).argmax(1).cpu()
        return unlearnt("the classifier", "the expressions", given, labels[torch.from_numpy(rows)])

    return SupervisedTask(
        settings,
        Labelled(data.images, {"expression": labels}, data.rows("train")),
        ExpressionClassifier(**numbers),
        ranks,
        kind="expression_classifier",
        numbers=numbers,
        loss=expression_loss,
        validation=validation,
        goal=Goal("val/expression_auc", "max"),
        mirror=lambda labels, mirrored: labels,
        info={"schema": data.schema.to_dict(), "data_hash": data.content_hash},
        people=data.people("train"),
        remarks=remarks,
    )


def expression_loss(network: nn.Module, x: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Softmax cross-entropy."""
    return {"total": F.cross_entropy(network(x).float(), labels["expression"])}
