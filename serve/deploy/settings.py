"""What the application on Ray Serve may be told: the ``args`` of its config file."""

from pydantic import Field, model_validator

from legan.platform.settings import Settings
from legan.serve.api.session import Limits
from legan.serve.api.use_cases import CHUNK


class Replicas(Settings):
    """How often a deployment runs, and what Ray reserves for each."""

    replicas: int = Field(1, ge=1, le=1000)
    """Processes; with ``most`` the smallest number of them."""
    most: int | None = Field(None, ge=1, le=1000)
    """Ray Serve adds replicas up to this many under load; None: as many as ``replicas`` always."""
    cpus: float = Field(0.25, ge=0, le=1000)
    """CPUs that Ray counts for each; how many threads it uses is ``threads``."""
    gpus: float = Field(0.0, ge=0, le=8)
    """GPUs for each; a fraction shares one with others."""
    ongoing: int = Field(256, ge=1, le=100_000)
    """Calls that one replica holds, those that wait for their batch included."""
    queued: int = Field(256, ge=0, le=100_000)
    """Calls that wait where all replicas are full; the next one is answered 503."""

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if self.most is not None and self.most < self.replicas:
            raise ValueError("most must not be smaller than replicas")
        return self


class ServeSettings(Settings):
    """The whole application."""

    model: str = "models:/legan@champion"
    """A folder, a run, or an MLflow URI; looked up once, when the application is built."""
    matcher: str | None = None
    """A run or folder of `legan train identity`; None: no similarities."""
    tokens_env: str | None = None
    """Environment variable of the ingress with the bearer tokens, separated by commas; None: open to all who reach the port."""
    access_log: str | None = None
    """File that each ingress appends a JSON line to for every request."""
    limits: Limits = Limits()
    batch_size: int = Field(16, ge=CHUNK, le=4096)
    """Images that the generator and Q take at once; fewer than come at a time, so that others are read and answered meanwhile."""
    batch_wait_ms: float = Field(2.0, ge=0, le=1000)
    """How long a batch that is not full waits for more."""
    threads: int = Field(1, ge=1, le=256)
    """Threads of torch and OpenCV in each replica."""
    ingress: Replicas = Replicas()
    aligner: Replicas = Replicas()
    generator: Replicas = Replicas()
    quality: Replicas = Replicas()
    matching: Replicas = Replicas()

    def deployments(self) -> dict[str, Replicas]:
        """Options of each deployment that there is, by its name."""
        found = {"Ingress": self.ingress, "Aligner": self.aligner, "Generator": self.generator, "Quality": self.quality}
        return found if self.matcher is None else {**found, "Matcher": self.matching}
