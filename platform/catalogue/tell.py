"""What ``legan runs`` and ``legan models`` print, as lines for people and as plain values for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from legan.platform.catalogue.lines import aligned
from legan.platform.catalogue.runs import RunFacts
from legan.platform.evaluation.metric_names import EXPRESSION_ACCURACY, LIGHTING_ACCURACY, MATCH, SSIM, heading
from legan.platform.tracking.champions import Registered

NOTHING = "–"
JUDGED = (EXPRESSION_ACCURACY.name, LIGHTING_ACCURACY.name, MATCH.key("source"))
DECISIVE = ((f"val/{SSIM.key('target')}",), tuple(f"val/{name}" for name in JUDGED))
"""The tags of a version by which it was promoted (guard.py): with true targets, and without."""


def runs_table(runs: Sequence[RunFacts]) -> list[str]:
    """A line for each run: what it is, how far it is, and its last and best validation."""
    head = ["run", "kind", "status", "step", "validation", "data", "began (UTC)"]
    rows = [
        [run.name, run.kind, run.status, _steps(run), _validation(run), _last_part(run.data), _minute(run.began)] for run in runs
    ]
    return aligned([head, *rows])


def run_lines(run: RunFacts) -> list[str]:
    """Everything about one run."""
    about = {
        "run": run.name,
        "kind": run.kind,
        "status": run.status,
        "began (UTC)": _minute(run.began),
        "step": _steps(run),
        "data": run.data,
        "folder": run.folder or "elsewhere; MLflow alone tells of it",
        "MLflow run": " ".join(filter(None, (run.run_id, run.link))) or None,
        **{name: run.tags.get(name) for name in ("sweep", "trial", "variant", "git_commit", "data_hash")},
    }
    lines = aligned([[name, str(value)] for name, value in about.items() if value is not None])
    validated = [[heading(name), *_last_and_best(run, name)] for name in run.val]
    if validated:
        lines += ["", *aligned([["validation", "last", "best"], *validated])]
    settings = [[name, _plain(value)] for name, value in run.settings.items() if value is not None]
    return [*lines, "", *aligned([["setting", ""], *settings])]


def comparison(a: RunFacts, b: RunFacts) -> dict[str, Any]:
    """The settings that differ and the validations of two runs, by name; each with both values, None where one has none."""
    names = list(dict.fromkeys((*a.settings, *b.settings)))
    values = {name: (_plain(a.settings.get(name)), _plain(b.settings.get(name))) for name in names}
    metrics = list(dict.fromkeys((*a.val, *b.val)))
    return {
        "runs": [a.name, b.name],
        "settings": {name: list(pair) for name, pair in values.items() if pair[0] != pair[1]},
        "validation": {
            name: [{"last": run.val[name][-1], "best": run.best(name)} if name in run.val else None for run in (a, b)]
            for name in metrics
        },
        "same_data": a.tags["data_hash"] == b.tags["data_hash"] if "data_hash" in a.tags and "data_hash" in b.tags else None,
    }


def comparison_lines(a: RunFacts, b: RunFacts) -> list[str]:
    """The same for people."""
    found = comparison(a, b)
    rows = [["", a.name, b.name], ["status", a.status, b.status], ["step", _steps(a), _steps(b)]]
    settings = [[name, *pair] for name, pair in found["settings"].items()]
    rows += [["", "", ""], ["settings that differ", "", ""], *settings] if settings else []
    for name in found["validation"]:
        (last_a, best_a), (last_b, best_b) = (_last_and_best(run, name) for run in (a, b))
        rows += [["", "", ""], [f"{heading(name)}, last", last_a, last_b], [f"{heading(name)}, best", best_a, best_b]]
    lines = aligned(rows)
    if not settings:
        lines += ["", "They have the same settings."]
    if not found["validation"]:
        lines += ["", "Neither has been validated yet."]
    if found["same_data"] is False:
        lines += ["", "They were trained on different data, so their validations don't compare."]
    return lines


def versions_table(versions: Sequence[Registered]) -> list[str]:
    """A line for each version of the registered models."""
    rows = [
        [
            f"models:/{each.name}/{each.version}",
            " ".join(f"@{alias}" for alias in each.aliases),
            each.run_name or NOTHING,
            _numbers(_val(each)) or NOTHING,
            _last_part(each.run_tags.get("data")),
            _minute(each.made),
        ]
        for each in versions
    ]
    return aligned([["version", "", "run", "validation", "data", "made (UTC)"], *rows])


def version_lines(version: Registered) -> list[str]:
    """Everything about one version."""
    known = [("sweep", "sweep"), ("trial", "trial"), ("variant", "variant"), ("git commit", "git_commit"), ("data", "data")]
    about = {
        "version": f"models:/{version.name}/{version.version}",
        "aliases": " ".join(f"@{alias}" for alias in version.aliases) or None,
        "made (UTC)": _minute(version.made),
        "run": " ".join(filter(None, (version.run_name, version.run_id))) or None,
        **{label: version.run_tags.get(tag) for label, tag in known},
    }
    lines = aligned([[name, str(value)] for name, value in about.items() if value is not None])
    measured = {name: value for name, value in version.metrics.items() if name.startswith(("val/", "eval/"))}
    if measured:
        lines += ["", *aligned([["measured", ""], *([name, f"{value:.4g}"] for name, value in sorted(measured.items()))])]
    if version.tags:
        lines += ["", *aligned([["tag", ""], *([name, value] for name, value in sorted(version.tags.items()))])]
    return [*lines, "", *version.description.splitlines()] if version.description else lines


def champion_lines(version: Registered) -> Iterator[str]:
    """Who was the champion of its registered model, the first one first."""
    if version.reigns:
        yield ""
        yield f"champions of {version.name}"
    for each in version.reigns:
        yield f"  version {each.version}, {each.how}{f' at {_minute(each.since)} UTC' if each.since else ''}"


def run_values(run: RunFacts) -> dict[str, Any]:
    """A run as plain values."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(run).items()}
    return {**values, "data": run.data}


def version_values(version: Registered) -> dict[str, Any]:
    """A version as plain values."""
    return {**version._asdict(), "reigns": [each._asdict() for each in version.reigns]}


def _val(version: Registered) -> Mapping[str, float]:
    """What decided on it when it was promoted, or else the last validation of its training."""
    for decisive in DECISIVE:
        if all(name in version.tags for name in decisive):
            return {name: float(version.tags[name]) for name in decisive}
    return {name: value for name, value in version.metrics.items() if name.startswith("val/")}


def _numbers(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name.removeprefix('val/')} {value:.4g}" for name, value in metrics.items())


def _steps(run: RunFacts) -> str:
    if run.step is None:
        return NOTHING
    return f"{run.step}/{run.steps}" if run.steps is not None else str(run.step)


def _validation(run: RunFacts) -> str:
    """The last value and the best of the first metric that it validates by."""
    if not run.val:
        return NOTHING
    name = next(iter(run.val))
    last, best = run.val[name][-1][1], run.best(name)
    told = f"{name.removeprefix('val/')} {last:.4g}"
    return told if best is None or best[1] == last else f"{told} (best {best[1]:.4g})"


def _last_and_best(run: RunFacts, name: str) -> tuple[str, str]:
    if name not in run.val:
        return NOTHING, NOTHING
    best = run.best(name)
    return f"{run.val[name][-1][1]:.4g}", f"{best[1]:.4g} at step {best[0]}" if best is not None else NOTHING


def _plain(value: Any) -> str:
    """A setting as MLflow has it too."""
    return NOTHING if value in (None, "None") else str(value)


def _last_part(path: str | None) -> str:
    return Path(path).name if path else NOTHING


def _minute(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else NOTHING
