"""``prepare``: a source's photographs to a data set folder, in parallel on Ray Data, resumable at any moment.

While it runs, OUT.partial holds plan.json (what is being prepared, and how) and a file per finished part. The same command goes
on with the parts that are missing. The result is put together from the parts in the records' order, so it is byte for byte that
of an undisturbed run. On a cluster, OUT has to lie on storage that every node sees.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from legan.platform.cluster import connect
from legan.platform.data.assemble import assemble
from legan.platform.data.dataset import FILE, Dataset, open_dataset
from legan.platform.data.faces.attempts import ATTEMPTS
from legan.platform.data.labels.splits import Splitting, check_shares
from legan.platform.data.pipeline import PART_SIZE, FacePreparer, Options, part_path, part_rows, prepare_part
from legan.platform.data.sources.source import Photograph, SourceFaces
from legan.platform.data.unfinished import at_work, drop_finished, drop_work, start_work
from legan.platform.errors import ClusterError, DataError, one_line
from legan.platform.files import refuse_existing, refuse_nameless, replace_folder


@dataclass(frozen=True)
class Preparation:
    """What is being prepared: the photographs in order, where the parts lie, and a digest of all that decides the result."""

    photographs: tuple[Photograph, ...]
    folder: Path
    digest: str

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-len(self.photographs) // PART_SIZE)

    def missing(self) -> list[int]:
        """The parts that are not done."""
        return [part for part in range(self.parts) if not part_path(self.folder, part).is_file()]

    def photographs_of(self, part: int) -> tuple[Photograph, ...]:
        """The photographs of a part."""
        rows = part_rows(part, len(self.photographs))
        return self.photographs[rows.start : rows.stop]


def prepare(
    source: SourceFaces,
    out: Path,
    options: Options,
    *,
    name: str | None = None,
    licence: str | None = None,
    seed: int = 0,
    val_share: float | None = None,
    test_share: float | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Dataset:
    """Make a data set folder of a source's photographs and open it.

    ``workers`` processes of one core each (default: the cores Ray offers); 0 works in this process, without Ray. Where the
    source has no split of its own, the subjects of the photographs that could be used are split with ``seed``; the shares default
    to the source's, as does the ``licence`` of the photographs. The same call, repeated after it was finished, changes nothing.

    Raises DataError where no photograph could be used. Without ``overwrite``, an existing ``out`` and unfinished work of other
    options or files are DataErrors, too. Raises FolderTakenError where another process is at work on the same, and ClusterError
    when the cluster cannot be reached, or fails.
    """
    refuse_nameless(out)
    splitting = _splitting(source, seed, val_share, test_share)
    out = out.resolve()
    if licence is not None:
        source = replace(source, info={**source.info, "licence": licence})
    photographs = source.photographs()
    digest = _digest(source, splitting, photographs, options, name or out.name)
    plan = Preparation(photographs, out.with_name(f"{out.name}.partial"), digest)
    if not overwrite and _finished(out, plan.digest):
        drop_finished(plan.folder, plan.digest)
        return open_dataset(out)
    refuse_existing(out, FILE, overwrite=overwrite)
    with at_work(plan.folder):
        start_work(plan.folder, plan.digest, overwrite=overwrite)
        _work(plan, options, workers, progress)
        assemble(plan.folder, plan.parts, source, splitting, options, name=name or out.name, digest=plan.digest)
        refuse_existing(out, FILE, overwrite=overwrite)
        replace_folder(out, plan.folder / "dataset")
        drop_work(plan.folder)
    return open_dataset(out)


def _splitting(source: SourceFaces, seed: int, val_share: float | None, test_share: float | None) -> Splitting | None:
    """How the people are to be split; None where the source has splits of its own. DataError where it cannot be done."""
    if "split" in source.records.columns:
        if val_share is not None or test_share is not None:
            raise DataError(f"the source {source.name} has its own splits, so --val-share and --test-share have no meaning.")
        return None
    val = source.val_share if val_share is None else val_share
    test = source.test_share if test_share is None else test_share
    check_shares(source.records["subject"].nunique(), val_share=val, test_share=test)
    return Splitting(val, test, seed)


def _digest(
    source: SourceFaces, splitting: Splitting | None, photographs: Sequence[Photograph], options: Options, name: str
) -> str:
    """Sha256 of names, labels, sizes and times of the files, and of the options: equal digests give equal data sets."""
    files = dict.fromkeys(photograph.file for photograph in photographs)
    stats = [(stat.st_size, stat.st_mtime_ns) if (stat := _stat(file)) else None for file in files]
    unusable = [(path, why.reason) for path, why in source.unusable]
    said = [name, source.name, source.schema.to_dict(), unusable, dict(source.info)]
    values = [*said, options.to_dict(), PART_SIZE, stats, splitting]
    values += [] if options.aligned else [list(ATTEMPTS)]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    digest.update(source.records.to_json(orient="split").encode())
    return digest.hexdigest()


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except (OSError, ValueError):
        return None  # reading it will give the reason


def _finished(out: Path, digest: str) -> bool:
    return (out / FILE).is_file() and open_dataset(out).info.get("prepared") == digest


def _work(plan: Preparation, options: Options, workers: int | None, progress: bool) -> None:
    todo = plan.missing()
    columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[skipped]} skipped"), disable=not progress) as bar:
        left = sum(len(plan.photographs_of(part)) for part in todo)
        task = bar.add_task("", total=len(plan.photographs), completed=len(plan.photographs) - left, skipped=0)
        skipped = 0
        for used_here, skipped_here in _results(plan, options, todo, workers):
            skipped += skipped_here
            bar.update(task, advance=used_here + skipped_here, skipped=skipped)


def _results(plan: Preparation, options: Options, todo: list[int], workers: int | None) -> Iterator[tuple[int, int]]:
    """How many files of each finished part were used and skipped, as the parts get done."""
    if not todo:
        return

    if workers == 0:
        worker = FacePreparer(options)
        for part in todo:
            yield prepare_part(worker, plan.photographs_of(part), part_path(plan.folder, part))
        return

    with _ray(workers):
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        size = min(workers or cores, cores, len(todo))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)

        items = [
            {
                "file": str(part_path(plan.folder, part)),
                "photos": [photograph.to_text() for photograph in plan.photographs_of(part)],
            }
            for part in todo
        ]
        done = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _prepare_batch,
            fn_args=(options,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.TaskPoolStrategy(size=size),
            num_cpus=1,
        )

        try:
            for row in done.iter_rows():
                yield int(row["used"]), int(row["skipped"])
        except RayError as error:
            raise ClusterError(
                f"the work on the Ray cluster ended: {one_line(error)}; the same command goes on from there."
            ) from error


def _prepare_batch(batch: dict[str, Any], options: Options) -> dict[str, NDArray[np.int64]]:
    """A task of Ray Data; done once more, it writes the same file again."""
    counts = [
        prepare_part(_process_worker(options), list(map(Photograph.from_text, photos)), Path(file))
        for file, photos in zip(batch["file"], batch["photos"], strict=True)
    ]
    return {"used": np.array([used for used, _ in counts]), "skipped": np.array([skipped for _, skipped in counts])}


@cache
def _process_worker(options: Options) -> FacePreparer:
    """The detector of this process: Ray gives a process many tasks, and it is loaded for the first."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return FacePreparer(options)


@contextmanager
def _ray(workers: int | None) -> Iterator[None]:
    """The Ray cluster that is there (RAY_ADDRESS or already joined), or a local one for as long as this takes.

    Raises ClusterError when nobody answers at RAY_ADDRESS.
    """
    if ray.is_initialized():
        yield
        return
    connect(cpus=workers)
    try:
        yield
    finally:
        ray.shutdown()
