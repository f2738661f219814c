"""The application as Ray Serve gets it: the ingress and its workers, each a deployment with options of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from legan.platform.device import WORKERS
from legan.platform.model import read_model
from legan.serve.chosen import choose_model
from legan.serve.deploy.ingress import Ingress
from legan.serve.deploy.settings import DeploymentSettings, ServeSettings
from legan.serve.deploy.workers import AlignerWorker, GeneratorWorker, MatcherWorker, QualityWorker

INGRESS_ONGOING = 10_000
"""More than ever come at a time: it is the application that refuses, with a problem document, and not Ray's proxy."""


def build(args: ServeSettings) -> Application:
    """The application as `legan serve` runs it and as a config file names it: ``import_path: legan.serve.app:build``.

    Raises LeganError for a model or matcher that cannot be used.
    """
    chosen = choose_model(args.model)
    models = {"models": [list(chosen)]}
    batches = (args.max_batch_size, args.batch_wait_timeout_s)

    def deployed(worker: type, name: str, *arguments: object, environment: Mapping[str, str] | None = None, **more: Any) -> Any:
        options = _options(args.deployments()[name], args.limits.seconds, environment)
        return serve.deployment(worker, name=name).options(**options, **more).bind(args.threads, *arguments)

    workers = {
        "Aligner": deployed(AlignerWorker, "Aligner", user_config=models),
        "Generator": deployed(GeneratorWorker, "Generator", *batches, environment=WORKERS, user_config=models),
        "Quality": deployed(QualityWorker, "Quality", *batches, environment=WORKERS, user_config=models),
    }
    if args.matcher is not None:
        size = read_model(Path(chosen.folder)).image_size
        workers["Matcher"] = deployed(MatcherWorker, "Matcher", args.matcher, size, environment=WORKERS)

    options = _options(args.ingress, args.limits.seconds) | {"max_ongoing_requests": INGRESS_ONGOING, "max_queued_requests": -1}
    ingress = serve.deployment(serve.ingress()(Ingress), name="Ingress")
    return ingress.options(**options, user_config={"model": list(chosen), "previous": None}).bind(args.model_dump(), workers)


def _options(of: DeploymentSettings, seconds: float, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A deployment's options in Ray's form; ``environment`` is that of its processes."""
    runtime_env = {"runtime_env": {"env_vars": dict(environment)}} if environment else {}
    shared: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": of.num_cpus, "num_gpus": of.num_gpus, **runtime_env},
        "max_ongoing_requests": of.max_ongoing_requests,
        "max_queued_requests": of.max_queued_requests,
        "graceful_shutdown_timeout_s": seconds + 5,  # what has begun is finished
        "health_check_period_s": 5.0,
    }
    if of.max_replicas is None:
        return {**shared, "num_replicas": of.min_replicas}
    scaling = {"min_replicas": of.min_replicas, "max_replicas": of.max_replicas, "target_ongoing_requests": 16}
    return {**shared, "autoscaling_config": scaling}
