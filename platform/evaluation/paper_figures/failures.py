"""Figure 15: outputs that miss their target, by how far the head is turned and by occlusion.

An output misses its target where an independent classifier sees another expression or lighting in it than was asked for. Where
the true target is there and the classifier misreads that too, the pair says nothing of the model and is left out.

Shapes: n pairs, E expressions, L lightings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, DataError, Problems, counted
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.judges import check_classifier
from legan.platform.evaluation.lineup import open_compared, translated
from legan.platform.evaluation.measures.turn import UNKNOWN, occlusion_of, turn_bands, turn_of
from legan.platform.evaluation.paired import BATCH
from legan.platform.evaluation.pairs import asked_pairs, label_batch
from legan.platform.evaluation.paper_figures.asked import (
    SPLIT,
    TILE,
    DrawnFigure,
    FigureRequest,
    about_data,
    about_model,
    in_turns,
    one_model,
)
from legan.platform.evaluation.paper_figures.methods import LOOKED_THROUGH, about_pair
from legan.platform.evaluation.tested import count_test
from legan.platform.model import CLASSIFIER, find_model, load_network, network_folder, weights_hash
from legan.platform.pixels import network_input
from legan.platform.tracking.mlflow_access import run_of

GROUPS = {"turn": "head turned", "occlusion": "occluded"}


def draw_failures(request: FigureRequest, problems: Problems, device: torch.device) -> DrawnFigure:
    """A row per failure, some of each group; ConfigError with every problem, DataError where no output misses its target."""
    sources = one_model(request.models, problems)
    judge = request.classifier or Path()
    stored = problems.from_(lambda: load_network(network_folder(judge), *CLASSIFIER), "--classifier")
    opened = open_compared(sources, request.folder, "MODEL", problems)
    if opened is None or stored is None or len(sources) != 1:
        raise ConfigError(problems)
    data, ((name, model),) = opened[0], opened[1].items()
    judged = check_classifier(model, data, stored, SPLIT, request.known_judges, problems)
    pairs = problems.from_(
        lambda: asked_pairs(data, model.schema, LOOKED_THROUGH, request.seed, request.pairs_file, SPLIT), "--data"
    )
    if problems or judged is None or pairs is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    classifier, stranger = judged[0].to(device).eval(), judged[1]
    times, _ = count_test(run_of(sources[name], find_model(sources[name]), model.info), model.info, data)
    pairs, misread = tellable_pairs(pairs, data, model.schema, classifier, device)
    made = translated(model, data, pairs, device)
    read = _read(made, pairs, model.schema, classifier, device)
    rows = pairs["source_row"].to_numpy(np.int64)
    turn = turn_of(data)[rows]
    judged_pairs = pairs.assign(
        **read, degrees=turn, turn=turn_bands(turn), occlusion=occlusion_of(data)[rows], place=range(len(pairs))
    )
    judged_pairs["missed"] = judged_pairs["missed_expression"] | judged_pairs["missed_lighting"]
    if not judged_pairs["missed"].any():
        raise DataError(
            f"by this judge, none of {counted(len(pairs), 'output')} misses its target, so there is no failure to draw."
        )

    shown = chosen_failures(judged_pairs, request.faces)
    picture = _grid(
        shown, made, data, model.schema, f"{name} on {data.name} ({SPLIT}): outputs in which the judge sees something else"
    )
    groups = {group: failure_shares(judged_pairs, group) for group in GROUPS}
    about = {
        "models": [about_model(name, sources[name], model)],
        "data": about_data(data),
        "classifier": {"classifier": str(judge), "weights_hash": weights_hash(classifier), "is_a_stranger": stranger},
        "times_scored_on_test": times,
        "left_out_as_the_judge_misreads_the_true_target": misread,
        "outputs": len(pairs),
        "missed": {kind: int(judged_pairs[kind].sum()) for kind in ("missed", "missed_expression", "missed_lighting")},
        **{f"by_{group}": shares.to_dict("records") for group, shares in groups.items()},
        "faces": [_about_failure(data, pair) for pair in shown.to_dict("records")],
    }
    return DrawnFigure(picture, about, data.name, tuple(_told(judged_pairs, groups, misread)))


def chosen_failures(judged: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most ``count`` of the pairs that ``missed``, of every group by ``turn`` and ``occlusion`` alike, and in its order.

    Within a group those come first of whose target the judge sees least (``seen``).
    """
    missed = judged[judged["missed"]].sort_values("seen", kind="stable")
    keys = list(zip(missed["turn"], missed["occlusion"], strict=True))
    return missed.iloc[in_turns(keys)].head(count).sort_values(["turn", "occlusion"], kind="stable")


def failure_shares(judged: pd.DataFrame, group: str) -> pd.DataFrame:
    """How many outputs of each group missed; columns: the group's own, outputs, missed, missed_expression, missed_lighting."""
    kinds = ["missed", "missed_expression", "missed_lighting"]
    grouped = judged.groupby(group)
    return pd.concat([grouped.size().rename("outputs"), grouped[kinds].sum()], axis=1).reset_index()


def tellable_pairs(
    pairs: pd.DataFrame, data: Dataset, schema: AttributeSchema, classifier: AttributeClassifier, device: torch.device
) -> tuple[pd.DataFrame, int]:
    """The pairs whose true target the classifier reads right, and how many others there are; all where targets are unknown."""
    if pairs["target_row"].isna().any():
        return pairs, 0
    targets = list(data.images[pairs["target_row"].to_numpy(np.int64)])
    read = _read(targets, pairs, schema, classifier, device)
    right = ~(read["missed_expression"] | read["missed_lighting"])
    if not right.any():
        raise DataError(
            f"the classifier misreads every true target of {data.path}, so it can judge no output; give a better one."
        )
    return pairs[right].reset_index(drop=True), int((~right).sum())


def _read(
    pictures: Sequence[Picture],
    pairs: pd.DataFrame,
    schema: AttributeSchema,
    classifier: AttributeClassifier,
    device: torch.device,
) -> dict[str, Any]:
    """What the classifier sees in n pictures, whether that misses what was asked for, and the probability ``seen`` of that."""
    parts = []
    for start in range(0, len(pairs), BATCH):
        asked = label_batch(schema, pairs.iloc[start : start + BATCH], device)
        with torch.inference_mode():
            logits = classifier(network_input(np.stack(pictures[start : start + BATCH]), device))
        found = [each.float().softmax(1) for each in logits]
        wanted = [each.gather(1, label[:, None])[:, 0] for each, label in zip(found, asked, strict=True)]
        best = [each.argmax(1) for each in found]
        missed = [each != label for each, label in zip(best, asked, strict=True)]
        parts.append(torch.stack([*best, *missed, wanted[0] * wanted[1]], dim=1).double().cpu().numpy())
    expression, lighting, missed_expression, missed_lighting, seen = np.concatenate(parts).T
    return {
        "seen_expression": [schema.expressions[int(number)] for number in expression],
        "seen_lighting": [schema.lightings[int(number)] for number in lighting],
        "missed_expression": missed_expression.astype(bool),
        "missed_lighting": missed_lighting.astype(bool),
        "seen": seen,
    }


def _grid(shown: pd.DataFrame, made: Sequence[Picture], data: Dataset, schema: AttributeSchema, title: str) -> Picture:
    columns = {
        "input": data.images[shown["source_row"].to_numpy(np.int64)],
        "output": [made[place] for place in shown["place"]],
    }
    if shown["target_row"].notna().all():
        columns["target"] = data.images[shown["target_row"].to_numpy(np.int64)]
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    captions = []
    pairs = shown.to_dict("records")
    for pair in pairs:
        asked, seen = (schema.named(pair[f"{of}expression"], pair[f"{of}lighting"]) for of in ("", "seen_"))
        captions.append(["", f"asked: {asked}\nseen: {seen}", *[""] * (len(columns) - 2)])
    names = ["\n".join(filter(None, (_degrees(pair["degrees"]), _occluded(pair["occlusion"])))) for pair in pairs]
    return labelled_grid(cells, list(columns), names, title, captions, TILE)


def _degrees(turn: float) -> str:
    return "yaw unknown" if np.isnan(turn) else f"|yaw| {turn:.0f}°"


def _occluded(occlusion: str) -> str:
    return {"yes": "occluded", "no": "not occluded"}.get(occlusion, "")


def _about_failure(data: Dataset, pair: dict[Any, Any]) -> dict[str, Any]:
    seen = {"expression": pair["seen_expression"], "lighting": pair["seen_lighting"], "probability_of_the_target": pair["seen"]}
    turn = None if np.isnan(pair["degrees"]) else float(pair["degrees"])
    return {**about_pair(data, pair), "seen": seen, "yaw": turn, "occluded": pair["occlusion"]}


def _told(judged: pd.DataFrame, groups: dict[str, pd.DataFrame], misread: int) -> list[str]:
    lines = [
        f"{int(judged['missed'].sum())} of {counted(len(judged), 'output')} miss their target: "
        f"{int(judged['missed_expression'].sum())} the expression, {int(judged['missed_lighting'].sum())} the lighting."
    ]
    if misread:
        lines.append(f"The judge misreads the true targets of {counted(misread, 'other pair')}, which are left out.")
    for group, shares in groups.items():
        if set(shares[group]) == {UNKNOWN}:
            continue
        said = (f"{row[group]}: {row['missed']} of {row['outputs']}" for row in shares.to_dict("records"))
        lines.append(f"{GROUPS[group]} {', '.join(said)}")
    return lines
