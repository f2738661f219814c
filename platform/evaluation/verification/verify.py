"""Table 4: how well a network tells people apart, by a protocol's list of pairs. All is checked before anything is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, Problems, TrackingError, counted
from legan.platform.evaluation.metric_names import PREFIXES
from legan.platform.evaluation.tested import count_test, ordinal, plain
from legan.platform.evaluation.verification.pair_lists import LOST, OPTION, RATES, Compared, Protocol, read_list, too_few
from legan.platform.evaluation.verification.report import write_report
from legan.platform.evaluation.verification.result import AtRate, OfFold, Verification, metrics_of
from legan.platform.evaluation.verification.scores import Draws, ScoreCounts, pearson, standardised
from legan.platform.evaluation.verification.templates import features_of, template_features
from legan.platform.files import out_problems
from legan.platform.model import MATCHERS, StoredNetwork, identity_folder, load_network, weights_hash
from legan.platform.tracking.mlflow_access import run_of
from legan.platform.tracking.places import StoredRun, default_home
from legan.platform.tracking.tracker import log_to_run

if TYPE_CHECKING:
    from legan.models.dlib_identity import FaceJudge

CHUNK = 16_384
"""Pairs that are compared at once."""


@dataclass(frozen=True)
class VerificationRequest:
    """What to verify by, as given on the command line."""

    matcher: Path
    protocol: Protocol
    data: Path
    file: Path
    known_judges: bool = False
    """Take a network that learned from people of the pairs; the report says so."""


@dataclass(frozen=True)
class VerificationBench:
    """A network, a data set and a list of pairs, all checked. ``acquainted`` says whether it learned from people of the pairs."""

    request: VerificationRequest
    network: StoredNetwork
    run: StoredRun
    data: Dataset
    compared: Compared
    acquainted: str

    @property
    def list_name(self) -> str:
        """What the list is called in MLflow and in folders' names."""
        return plain(self.request.file.stem)

    @property
    def splits(self) -> list[str]:
        """The splits that its pairs show."""
        return sorted(set(self.data.faces["split"].iloc[self.compared.rows]))

    def start(self) -> str:
        """What stands before the metrics' names in MLflow: the split's prefix, data that are not the network's, and the list."""
        prefix = PREFIXES["val" if self.splits == ["val"] else "test"]
        own = self.network.info.get("data_hash") in (None, self.data.content_hash)
        return f"{prefix}{'' if own else f'{plain(self.data.name)}/'}{self.list_name}/"

    def about(self) -> dict[str, Any]:
        """What was verified, on what and by whom, as plain values."""
        compared, info = self.compared, self.network.info
        return {
            "network": str(self.request.matcher),
            "kind": self.network.kind,
            "run": info.get("run"),
            "run_id": self.run.run_id,
            "run_uid": self.run.uid,
            "training_seed": info.get("seed"),
            "step": info.get("step"),
            "weights_hash": weights_hash(self.network.module),
            "protocol": compared.protocol,
            "list": self.request.file.name,
            "data": self.data.name,
            "data_hash": self.data.content_hash,
            "splits": self.splits,
            "people_are_new_to_the_network": self.acquainted,
            "images": len(compared.rows),
            f"{'templates' if compared.media is not None else 'faces'}": len(compared.unit),
            "people": len(compared.subjects),
            "pairs_of_one_person": compared.pairs[1],
            "pairs_of_strangers": compared.pairs[0],
            "pairs_not_compared": {"one_person": compared.lost[1], "strangers": compared.lost[0]},
            "score": "Pearson correlation, rounded to 1e-6",
            "intervals_over": compared.unit_name,
            "left_out": {f"{rate:g}": why for rate, why in too_few(compared.pairs[0] - compared.lost[0]).items()},
        }


def prepare_verification(request: VerificationRequest, out: Path | None = None) -> VerificationBench:
    """Load and check all that is needed, and that ``out`` can be its folder; ConfigError with every problem."""
    problems = Problems(out_problems(out))
    folder = problems.from_(lambda: identity_folder(request.matcher), "RUN")
    network = None if folder is None else problems.from_(lambda: load_network(folder, *MATCHERS), "RUN")
    data = problems.from_(lambda: open_dataset(request.data), "--data")
    compared = None
    if not request.file.is_file():
        what = "is a folder" if request.file.is_dir() else "does not exist"
        problems.add(OPTION, f"the list of pairs {request.file} {what}; give the published file, or a table of your own")
    elif data is not None:
        compared = problems.from_(lambda: read_list(request.protocol, request.file, data), OPTION)
    size = network.numbers.get("image_size") if network is not None else None
    if data is not None and size not in (None, data.image_size):
        problems.add("RUN", f"it is for {size}×{size} images, the data set has {data.image_size}×{data.image_size}")
    said = ""
    if network is not None and data is not None and compared is not None:
        said, knows = acquaintance_with(network, data, compared.subjects)
        if knows and not request.known_judges:
            problems.add("RUN", f"it {said}; take other pairs, or take it all the same with --known-judges")
    if problems or folder is None or network is None or data is None or compared is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return VerificationBench(request, network, run_of(request.matcher, folder, network.info), data, compared, said)


def acquaintance_with(network: StoredNetwork, data: Dataset, subjects: tuple[str, ...]) -> tuple[str, bool]:
    """Whether a network learned from people whom the pairs show, in words, and whether it is known that it did."""
    own, asked = set(network.info.get("people", ())), set(data.people_called(subjects))
    shared = own & asked
    if shared:
        return f"learned from {len(shared)} of the {counted(len(asked), 'person', 'people')} of the pairs", True
    if not own:
        return "unknown, it does not name whom it learned from", False
    return ("checked" if asked else "unknown, the data do not tell who is shown"), False


def verify(bench: VerificationBench, out: Path, device: torch.device, say: Callable[[str], None]) -> Verification:
    """Compare all pairs, write the report into ``out`` and log it to the network's MLflow run, or say why not."""
    compared, about, tags = bench.compared, bench.about(), dict[str, str]()
    for rate, why in about["left_out"].items():
        say(f"The rate {float(rate):.1%} is left out: {why}.")
    for note in compared.notes:
        say(note)
    if bench.acquainted != "checked":
        say(f"Whether the people are new to the network: {bench.acquainted}.")
    if "test" in bench.splits:
        times, tags = count_test(bench.run, bench.network.info, bench.data)
        about["times_scored_on_test"] = times
        if times > 1:
            say(f"Its run is scored on {bench.data.name}'s test people for the {ordinal(times)} time.")
    what = counted(len(compared.rows), "image")
    say(f"Comparing {counted(sum(compared.pairs), 'pair')} of {what} …")
    done = compare(bench, device)
    files = write_report(out, done, about)
    say(f"Report: {out} (verification.md, roc.png)")
    name = f"{plain(bench.data.name)}-{bench.list_name}"
    try:
        run_id = log_to_run(bench.run, metrics_of(done, bench.start()), files, artifact_path=f"verification/{name}", tags=tags)
    except TrackingError as error:
        say(f"The rates are in these files and not in MLflow: {error}")
    else:
        say(f"Logged as {bench.start()}… to the network's MLflow run {run_id}, the files under verification/{name}.")
    return done


def compare(bench: VerificationBench, device: torch.device, seed: int = 0) -> Verification:
    """The rates of all pairs; their memory does not grow with the number of pairs."""
    unit = standardised(_features(bench, device))
    compared = bench.compared
    units = np.append(compared.unit, LOST)  # the last is that of a side which is not there
    total, draws = ScoreCounts(), Draws(int(units.max()) + 1, seed)
    by_fold: Mapping[int, ScoreCounts] = {fold: ScoreCounts() for fold in compared.folds}
    for block in compared.blocks():
        for first, second, same, fold in block.cut(CHUNK):
            scores = pearson(unit, first, second)
            total.add(scores, same)
            draws.add(scores, same, units[first], units[second])
            for number, counts in by_fold.items():
                counts.add(scores[fold == number], same[fold == number])
    rates = [rate for rate in RATES if rate not in too_few(sum(compared.pairs[:1]) - compared.lost[0])]
    intervals = draws.intervals(rates)
    at_rates = [
        AtRate(rate, total.at_rate(rate), None if intervals is None else intervals[number], total.at_rate(rate, every_pair=False))
        for number, rate in enumerate(rates)
    ]
    folds = []
    for number, own in by_fold.items():
        threshold = (total - own).at_rate(RATES[0]).threshold
        folds.append(OfFold(number, own.at_threshold(threshold)))
    return Verification(at_rates, folds, total.area(), total.equal_error(), total.roc(), compared)


def default_verification_folder(bench: VerificationBench) -> Path:
    """Where the report of a network on a list of pairs goes."""
    name = bench.request.matcher.resolve().name if bench.request.matcher.exists() else str(bench.request.matcher)
    name = name if name != "model" else bench.request.matcher.resolve().parent.name
    return default_home() / "evaluations" / f"verification-{plain(name)}-{plain(bench.data.name)}-{bench.list_name}"


def _features(bench: VerificationBench, device: torch.device) -> Tensor:
    matcher, compared = cast("FaceJudge", bench.network.module.to(device).eval()), bench.compared
    if compared.media is None:
        return features_of(matcher, bench.data, compared.rows, device)
    return template_features(matcher, bench.data, compared.rows, compared.side.astype(np.int64), compared.media, device)
