"""Training of T, the identity network (section 4.1): LightCNN as a classifier of the training subjects."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.identity import LightCNN
from legan.models.verification import verification_auc
from legan.platform.data.dataset import Dataset, spread
from legan.platform.settings import IdentitySettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Goal
from legan.platform.training.tasks.supervised import LOOKED_AT, Labelled, SupervisedTask, in_batches, unlearnt


def identity_task(settings: IdentitySettings, data: Dataset, ranks: Ranks) -> SupervisedTask:
    """T on subject labels; validated by telling held-out subjects apart (ROC AUC of the cosine over all pairs)."""
    train = data.rows("train")
    labels = np.unique(data.subject, return_inverse=True)[1]
    classes, train_labels = np.unique(labels[train], return_inverse=True)
    label = torch.full((len(data.subject),), -1)
    label[torch.from_numpy(train)] = torch.from_numpy(train_labels)
    numbers: dict[str, Any] = {
        "layers": int(settings.network.removeprefix("lightcnn")),
        "classes": len(classes),
        "image_size": data.image_size,
        "width": settings.width,
        "features": settings.features,
    }
    held_out = spread(data.real_rows("val"), LOOKED_AT)
    same = torch.from_numpy(labels[held_out])

    T = LightCNN(**numbers)

    def validation(_: nn.Module) -> dict[str, float]:
        if len(held_out) == 0 or len(np.unique(same)) in (1, len(same)):
            return {}
        features = torch.cat(in_batches(T.features, data.images, held_out, ranks.device))
        return {"val/verification_auc": verification_auc(features, same)}

    def remarks(network: nn.Module) -> list[str]:
        rows = spread(train, LOOKED_AT)
        answers = torch.cat(in_batches(network, data.images, rows, ranks.device)).argmax(1).cpu()
        return unlearnt("T", "the people", answers, label[torch.from_numpy(rows)])

    return SupervisedTask(
        settings,
        Labelled(data.images, {"subject": label}, train),
        T,
        ranks,
        kind="lightcnn",
        numbers=numbers,
        loss=subject_loss,
        validation=validation,
        goal=Goal("val/verification_auc", "max", settings.patience),
        mirror=lambda labels, mirrored: labels,
        info={"data_hash": data.content_hash},
        people=data.people("train"),
        remarks=remarks,
    )


def subject_loss(network: nn.Module, x: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Softmax cross-entropy over the training subjects."""
    logits = network(x).float()
    return {
        "total": F.cross_entropy(logits, labels["subject"]),
        "accuracy": (logits.argmax(1) == labels["subject"]).float().mean(),
    }
