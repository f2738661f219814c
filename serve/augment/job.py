"""``legan augment``: a whole data set, folder or table of faces translated on Ray Data, resumable at any moment.

While it runs, OUT.partial holds plan.json (a digest of all that decides the result), the plan itself (jobs.npy), the rows of the
source (rows.arrow) and a file per finished part. Started again, the command goes on with the parts that are missing; the parts
are put together in the plan's order. Images are translated by the engine that the endpoint uses. On a cluster, INPUT and OUT have
to lie on storage that every node sees; the model is sent to the workers.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import ray
from ray.exceptions import RayError

from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.cluster import connect, require
from legan.platform.data.dataset import origin_of_people
from legan.platform.data.skipped import read_skipped
from legan.platform.data.stream import Header, npy_header
from legan.platform.data.unfinished import at_work, drop_finished, drop_work, start_work
from legan.platform.device import WORKERS, choose_device, keep_freed_memory
from legan.platform.errors import ClusterError, DataError, counted, one_line
from legan.platform.files import replace_folder, whole_file
from legan.platform.model import Model
from legan.serve.augment.input import ROWS, Photographs, Rows, write_rows
from legan.serve.augment.own import kept_kinds, unsaid, with_read
from legan.serve.augment.plan import Labels, count_jobs, plan_jobs
from legan.serve.augment.progress import ProgressLines
from legan.serve.augment.report import dry_run_lines, report_lines, report_values
from legan.serve.augment.request import AugmentOrder, AugmentRequest, check, finished, refuse_output
from legan.serve.augment.result import assemble, assemble_faces
from legan.serve.augment.worker import (
    JOBS,
    JOBS_FILE,
    OWN,
    PHOTOS,
    AugmentTask,
    AugmentWorker,
    Done,
    WorkerSettings,
    be_single_threaded,
    part_path,
    translated_counts,
)

Say = Callable[[str], None]
MOST_BLOCKS = 2048


def augment(request: AugmentRequest, say: Say = print) -> Path:
    """Do what was asked, say how it goes, and give the folder of the new data set.

    The same request repeated after it was finished changes nothing, unless it says ``overwrite``. Raises LeganError: with all
    that is wrong with the request before anything is computed; ClusterError where the cluster cannot give what it needs.
    """
    order = check(request)
    out = request.out.absolute()
    folder = out.with_name(f"{out.name}.partial")
    if not request.overwrite and finished(order):
        drop_finished(folder, order.digest)
        say(f"{request.out} is there already, made by the same command; nothing was done.")
        return out
    refuse_output(out, overwrite=request.overwrite)
    if request.dry_run:
        for line in dry_run_lines(order):
            say(line)
        return out
    with at_work(folder):
        _make(order, out, folder, say)
    return out


def _make(order: AugmentOrder, out: Path, folder: Path, say: Say) -> None:
    """Do the work in ``folder``, as far as it is not done, and put the result at ``out``."""
    request = order.request
    with _workers(request) as size:
        start_work(folder, order.digest, overwrite=request.overwrite)
        faces = _faces(order, folder, size, say)
        labels, jobs = _planned(order, folder, faces, size, say)
        parts = -(-jobs // JOBS)
        todo = [
            AugmentTask("part", part, min(JOBS, jobs - part * JOBS))
            for part in range(parts)
            if not part_path(folder, "part", part).is_file()
        ]
        progress = ProgressLines(say, "translating", "images", jobs, _units(todo))
        _run(order, _worker_settings(order, folder, faces), todo, size, progress)

    total = reduce(Done.__add__, (translated_counts(part_path(folder, "part", part)) for part in range(parts)), Done())
    values = report_values(order, folder, labels, parts, jobs, total)
    skipped = read_skipped(faces) if isinstance(order.given, Photographs) else None
    if total.made == 0 and not order.originals:
        raise DataError(
            f"none of {counted(jobs, 'translation')} reached the minimum ({total.low_quality} fell short in quality, "
            f"{total.low_similarity} in similarity), so there is no data set to write; ask for less, with --overwrite."
        )

    say("writing the data set …")
    assemble(
        folder, faces, order.model, order.origin, parts, total, order.originals,
        name=out.name, source="augmented", skipped=skipped, info={"augmented": order.digest, **_people(order), **values},
    )  # fmt: skip
    refuse_output(out, overwrite=request.overwrite)
    replace_folder(out, folder / "dataset")
    drop_work(folder)
    for line in report_lines(values, skipped):
        say(line)


def _people(order: AugmentOrder) -> dict[str, str]:
    """Whose faces these are, as a data set made of others remembers it."""
    people_of = order.given.people_of if isinstance(order.given, Header) else origin_of_people("photographs", {})
    return {} if people_of is None else {"people_of": people_of}


def _faces(order: AugmentOrder, folder: Path, size: int, say: Say) -> Path:
    """The data set folder of aligned faces: the input itself, or made of its photographs."""
    if isinstance(order.given, Header):
        return order.given.path
    faces, root = folder / "faces", order.given.root.absolute()
    if not faces.exists():
        paths = order.given.records["path"]
        parts = -(-len(paths) // PHOTOS)
        todo = []
        for part in range(parts):
            if not part_path(folder, "photos", part).is_file():
                photos = tuple(str(root / path) for path in paths.iloc[part * PHOTOS : (part + 1) * PHOTOS])
                todo.append(AugmentTask("photos", part, len(photos), photos))
        progress = ProgressLines(say, "finding faces", "photographs", len(paths), _units(todo))
        _run(order, _worker_settings(order, folder, faces), todo, size, progress)
        assemble_faces(folder, order.given, order.model, parts)
    return faces


def _planned(order: AugmentOrder, folder: Path, faces: Path, size: int, say: Say) -> tuple[Labels, int]:
    """The source faces' labels and the number of jobs, having written rows and jobs, and read what these keep."""
    if not (folder / ROWS).is_file():
        write_rows(faces, folder / ROWS)
    schema = order.model.schema
    labels = Rows(folder / ROWS).labels(schema)
    sizes = {"expressions": len(schema.expressions), "lightings": len(schema.lightings)}
    count = count_jobs(order.wanted, labels, **sizes)
    if count == 0:
        drop_work(folder)
        if order.wanted.train_only and not labels.training.any():
            raise DataError("there is nothing to make: no face is in the training split; leave --train-only out.")
        raise DataError("there is nothing to make: all classes that occur have equally many faces; leave --balance out.")
    if not (folder / JOBS_FILE).is_file():
        own = _read(order, folder, faces, labels, size, say)
        with whole_file(folder / JOBS_FILE) as draft, draft.open("wb") as stream:
            npy_header(stream, (count, order.attempts, 3), "<i4")
            for jobs in plan_jobs(order.wanted, own, **sizes, attempts=order.attempts, seed=order.request.seed):
                stream.write(np.ascontiguousarray(jobs, "<i4").tobytes())
    return labels, count


def _read(order: AugmentOrder, folder: Path, faces: Path, labels: Labels, size: int, say: Say) -> Labels:
    """The labels, with classes that are kept and not known as the model reads them, if it does."""
    kinds = tuple(unsaid(labels, kept_kinds(order.wanted)))
    if not kinds or order.model.predictor is None:
        return labels
    parts = [AugmentTask("own", part, min(OWN, len(labels) - part * OWN)) for part in range(-(-len(labels) // OWN))]
    todo = [task for task in parts if not part_path(folder, "own", task.part).is_file()]
    progress = ProgressLines(say, f"reading {' and '.join(kinds)}", "faces", len(labels), _units(todo))
    _run(order, _worker_settings(order, folder, faces), todo, size, progress)
    return with_read(labels, kinds, folder)


def _worker_settings(order: AugmentOrder, folder: Path, faces: Path) -> WorkerSettings:
    request = order.request
    every_face = isinstance(order.given, Photographs) and order.given.every_face
    return WorkerSettings(folder, faces, request.batch_size, request.min_quality, request.min_similarity, every_face)


def _units(tasks: Sequence[AugmentTask]) -> int:
    return sum(task.units for task in tasks)


def _run(order: AugmentOrder, settings: WorkerSettings, todo: Sequence[AugmentTask], size: int, progress: ProgressLines) -> None:
    """Do these parts, in this process (``size`` 0) or by so many workers."""
    if not todo:
        return
    if size == 0:
        worker = AugmentWorker(settings, order.model, order.matcher, choose_device())
        for task in todo:
            progress.add(task.units, worker.do(task))
        return

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpus = int(ray.cluster_resources().get("GPU", 0)) > 0
    done = ray.data.from_items([task._asdict() for task in todo], override_num_blocks=min(len(todo), MOST_BLOCKS)).map_batches(
        _Actor,
        fn_constructor_args=(settings, order.model, order.matcher),
        batch_size=1,
        batch_format="pandas",
        compute=ray.data.ActorPoolStrategy(size=min(size, len(todo))),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
    )
    try:
        for row in done.iter_rows():
            progress.add(int(row["units"]), Done(*(int(row[name]) for name in Done._fields)))
    except RayError as error:
        raise ClusterError(
            f"the work on the Ray cluster ended: {one_line(error)}; the same command goes on from there."
        ) from error


class _Actor:
    """A worker of the pool; one that dies is replaced by Ray, and its part is done by another."""

    def __init__(self, settings: WorkerSettings, model: Model, matcher: LightCNN | FacenetIdentity | None):
        be_single_threaded()
        keep_freed_memory()
        self._worker = AugmentWorker(settings, model, matcher, choose_device())

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        rows = []
        for values in batch.to_dict("records"):
            task = AugmentTask(str(values["kind"]), int(values["part"]), int(values["units"]), tuple(values["photos"]))
            rows.append({"units": task.units, **self._worker.do(task)._asdict()})
        return pd.DataFrame(rows)


@contextmanager
def _workers(request: AugmentRequest) -> Iterator[int]:
    """How many workers there are to be, on the cluster that this process is connected to for as long as this takes.

    By default as many as the cluster has GPUs, or else processors. A process that was connected before stays so.
    """
    if request.workers == 0:
        yield 0
        return
    before = ray.is_initialized()
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else Ray warns of how Ray Data makes its actors
    cluster = connect(request.address, environment=WORKERS)
    try:
        size = request.workers or int(cluster.gpus) or max(1, int(cluster.cpus))
        require(size, size if cluster.gpus else 0)
        yield size
    finally:
        if not before:
            ray.shutdown()
