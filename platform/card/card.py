"""The model card: what a model says of itself, as Markdown, made of its model.json alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from legan.platform.card.scale import scale_of

NETWORKS = {
    "discriminator": "D's head",
    "judge": "an independent judge",
    "T": "T",
    "matcher": "a matcher that was not trained against",
}
NOT_MEASURED = "not measured, since nobody or too few people were held out"
ORIGIN = (
    ("run", "run", 80),
    ("step", "step", 80),
    ("git_commit", "commit", 12),
    ("data_hash", "data hash", 12),
    ("created_by", "by", 80),
)
"""Where a model comes from: keys of its info, words, and how many characters are shown."""


def model_card(record: Mapping[str, Any], called: str) -> str:
    """The card of a model whose model.json is ``record``; ``called`` is what its kind is called, such as LEGAN model."""
    schema, info, size = record["schema"], record["info"], record["image_size"]
    networks = record["networks"]
    lines = [
        f"# {called}",
        "",
        f"It takes aligned faces of {size}×{size} pixels. Left and right are the viewer's.",
        "",
        f"- **Expressions**: {_classes(schema['expressions'])}",
        f"- **Lightings**: {_classes(schema['lightings'])}",
        *_data_lines(info.get("data")),
        f"- **Training**: {_training(info)}",
        *_colour_lines(info.get("colours")),
        f"- **Ratings by Q**: {_ratings(info) if 'quality' in networks else 'none, there is no Q'}",
        f"- **Reads a face's own classes**: {_predictor(info.get('predictor')) if 'predictor' in networks else 'no'}",
        f"- **Tells people apart**: {_matcher(info.get('matcher')) if 'matcher' in networks else 'no'}",
    ]
    warning = scale_of(info).warning if "quality" in networks else None
    return "\n".join([*lines, *(["", f"**Warning**: {warning}."] if warning else [])]) + "\n"


def _classes(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) > 1 else "not changed"


def _data_lines(data: Mapping[str, Any] | None) -> Iterator[str]:
    if data is None:
        yield "- **Data**: unknown"
        return
    people = "1 person" if data["people"] == 1 else f"{data['people']} people"
    yield f"- **Data**: {data['name']} (source {data['source']}), {people} in the training split"
    yield f"- **Licence of the data**: {data['licence'] or 'nobody has said one'}"
    found_by = data["landmarks"]
    yield "- **Landmarks**: " + (f"{found_by['name']}, licence {found_by['licence']}" if found_by else "unknown")


def _colour_lines(colours: Sequence[str] | None) -> Iterator[str]:
    if colours is not None:
        yield f"- **Colours of training images**: {', '.join(['as they are', *colours])}"


def _training(info: Mapping[str, Any]) -> str:
    known = {words: str(info[name])[:most] for name, words, most in ORIGIN if info.get(name)}
    return ", ".join(f"{words} {value}" for words, value in known.items()) or "unknown"


def _ratings(info: Mapping[str, Any]) -> str:
    scale = scale_of(info)
    if scale.mean is None or scale.fake_mean is None:
        return f"{scale.words} ({NOT_MEASURED})" if "quality" in info else scale.words
    return f"{scale.words} ({scale.images} of the validation split), this model's outputs: {scale.fake_mean:.1f}"


def _predictor(told: Mapping[str, Any] | None) -> str:
    if told is None or "faces" not in told:
        return f"yes; {NOT_MEASURED}"
    right = [f"{kind} {told[f'{kind}_accuracy']:.1%}" for kind in ("expression", "lighting") if f"{kind}_accuracy" in told]
    by = NETWORKS.get(told.get("network", ""), "a network")
    return f"by {by}, right for {' and '.join(right)} of {told['faces']} faces of the validation split"


def _matcher(told: Mapping[str, Any] | None) -> str:
    if told is None or "threshold" not in told:
        return f"yes; {NOT_MEASURED}"
    by = NETWORKS.get(told.get("network", ""), "a network")
    pairs = f"{told['pairs']:,} pairs of strangers of the validation split" if "pairs" in told else "the pairs of strangers"
    return f"by {by}; {told['false_positive_rate']:.0%} of {pairs} reach a similarity of {told['threshold']:.3f}"
