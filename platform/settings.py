"""Settings of each kind of training: what may be set, its range and its default (those of the rivals: rival_settings.py)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from legan.platform.errors import Problem, counted

Weight = Annotated[float, Field(ge=0.0, le=1e6)]
WhiteBalance = Literal["tungsten", "fluorescent", "daylight", "cloudy", "shade", "automatic"]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
CONFLICT = "conflict"
"""Pydantic's type of what ``raise_conflicts`` raises."""


class Settings(BaseModel):
    """Base of all settings: no unknown keys, no NaN or infinity, no change after the check, each field documented."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def raise_conflicts(kind: type[Settings], problems: Sequence[Problem]) -> None:
    """In a validator of ``kind``: refuse its values, each problem at a place of its own, if there are any."""
    if problems:
        details = [
            InitErrorDetails(
                type=PydanticCustomError(CONFLICT, "{message}", {"message": each.message}),
                loc=(each.place,) if each.place else (),
                input=None,
            )
            for each in problems
        ]
        raise ValidationError.from_exception_data(kind.__name__, details)


class AdamSettings(Settings):
    """Adam, as in section 5."""

    learning_rate: LearningRate = 1e-4
    beta1: float = Field(0.5, ge=0.0, lt=1.0)
    beta2: float = Field(0.999, ge=0.0, lt=1.0)
    weight_decay: float = Field(0.0, ge=0.0, le=1.0)
    decay_from: float = Field(1.0, ge=0.0, le=1.0)
    """Share of the training after which the learning rate falls linearly to 0; 1: never, as in the paper. StarGAN: 0.5."""

    def rate(self, step: int, total: int) -> float:
        """The learning rate of step number ``step`` of ``total``, from 0."""
        start = self.decay_from * total
        return self.learning_rate * (1.0 if step <= start else (total - step) / (total - start))


class StartSettings(Settings):
    """What a training began from (``--from``): a run at its step ``step``, or the weights of a model's folder, at 0."""

    source: str
    """Name of the run or path of the folder."""
    step: int = Field(0, ge=0)
    """Steps that the weights had been trained for; those of this training come after them."""
    keep_rate: bool = False
    """What falls over a training falls as over one of all these steps, instead of over those of this training alone."""


class TrainingSettings(Settings):
    """What every kind of training has."""

    looks_at_classes: ClassVar[bool] = True
    """Whether it learns or asks for expressions or lightings; else all data will do."""
    looks_at_lighting: ClassVar[bool] = True
    """Whether mirrored images need a lighting; else all data may be mirrored."""

    data: Path | None = None
    """Data set folder."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the initial weights and of every random draw."""
    epochs: float | None = Field(None, gt=0, le=1e6)
    """Passes over the training split; either this or ``steps``."""
    steps: int | None = Field(None, gt=0, le=10**9)
    """Optimiser steps (for LEGAN: generator steps); either this or ``epochs``."""
    batch_size: int = Field(10, ge=1, le=4096)
    """Images per minibatch over all workers together."""
    adam: AdamSettings = AdamSettings()
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16: autocast, with weights, optimiser state, losses and gradient penalty in fp32; auto: bf16 where the machine that
    starts the run multiplies it natively. On a GPU the convolutions of a bf16 run's penalty are TF32, those of fp32 are not."""
    channels_last: bool = True
    """Memory format of images and convolution weights."""
    flip: Literal[True, False, "auto"] = False
    """Mirror half of the images; lightings are swapped by the schema's flip map. auto: where the data set has such a map."""
    workers: int = Field(1, ge=0, le=1024)
    """Ray Train workers; 0 trains in this process without Ray."""
    gpu: bool = False
    """One GPU per worker."""
    threads: int | None = Field(None, ge=1, le=256)
    """Threads of each process that trains; null: as many as processors are free when the run begins, which it keeps."""
    max_failures: int = Field(3, ge=0)
    """How often a run whose worker died is resumed by itself."""
    log_every: int = Field(10, ge=1)
    """Steps between progress lines and logged metrics."""
    validate_every: int = Field(500, ge=1)
    """Steps between validations on the held-out split."""
    sample_every: int = Field(500, ge=1)
    """Steps between logged sample grids."""
    checkpoint_every: int = Field(500, ge=1)
    """Steps between checkpoints; the best validation so far becomes one too, at its own step."""
    keep_last: int = Field(3, ge=1)
    """Checkpoints kept beside the best one."""
    start: StartSettings | None = None
    """What it began from; set by ``--from``."""

    def total_steps(self, images: int, per_step: int) -> int:
        """The last step of a training on so many images, ``per_step`` in each; those of ``epochs`` are rounded up.

        Steps that were trained before it began are counted.
        """
        before = self.start.step if self.start is not None else 0
        if self.steps is not None:
            return before + self.steps
        if self.epochs is None:
            raise ValueError("either steps or epochs has to be set")
        return before + max(1, -(-int(self.epochs * images) // per_step))

    def course(self, step: int, total: int) -> tuple[int, int]:
        """Step number ``step`` of ``total``, as what falls over a training counts them: the learning rate, and some weights.

        >>> TrainingSettings(steps=4, start=StartSettings(source="first", step=4)).course(5, 8)
        (1, 4)
        """
        begins = self.start.step if self.start is not None and not self.start.keep_rate else 0
        return step - begins, total - begins

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = []
        if (self.epochs is None) == (self.steps is None):
            given = "both are" if self.epochs is not None else "neither is"
            found.append(Problem("steps", f"exactly one of steps and epochs has to be set, and {given}", ("epochs",)))
        if self.workers > 1 and self.batch_size % self.workers:
            message = (
                f"{self.batch_size} cannot be shared equally by {counted(self.workers, 'worker')}; make "
                f"it a multiple of {self.workers}"
            )
            found.append(Problem("batch_size", message, ("workers",)))
        return found

    @model_validator(mode="after")
    def _without_conflicts(self, info: ValidationInfo) -> Self:
        found = self.conflicts()
        if isinstance(info.context, list):  # config.py wants each of them, and the settings all the same
            info.context.extend(found)
        else:
            raise_conflicts(type(self), found)
        return self


class IdentitySettings(TrainingSettings):
    """T, the identity network (section 4.1), trained as a classifier of subjects."""

    looks_at_classes = looks_at_lighting = False

    network: Literal["lightcnn29", "lightcnn9"] = "lightcnn29"
    width: float = Field(1.0, gt=0.0, le=4.0)
    """Multiplier of every layer's channels."""
    features: int = Field(256, ge=8, le=4096)
    """Length of the penultimate features, which Lid compares."""
    patience: int | None = Field(None, ge=1, le=10_000)
    """Validations in a row without a better one after which the training ends; null: it does all its steps. The best one is kept
    in any case. It needs two people in val."""


class QualitySettings(TrainingSettings):
    """Q, the quality model (Table 6), trained on rated images."""

    ratings: Path | None = None
    """Ratings folder or table; takes the place of ``data``."""
    image_size: int = Field(128, ge=16, le=1024)
    """Rated images are resized to this."""
    width: int = Field(64, ge=4, le=256)
    layers: int = Field(6, ge=2, le=9)
    hidden: int = Field(256, ge=4, le=4096)
    loss: Literal["margin", "hinge", "absolute", "squared"] = "margin"
    """Eq. 1, the hinge of section 9, |σ - |d||, or the plain squared error."""
    clip_gradient: float = Field(10.0, gt=0)
    """Largest gradient norm: Eq. 1 is quartic."""


class ClassifierSettings(TrainingSettings):
    """The independent judge of expression and lighting; it never sees a generated image."""

    width: int = Field(32, ge=4, le=256)

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        if self.workers > 1:
            found.append(Problem("workers", "the judge has batch norm, which needs the whole batch in one place; set 1 or 0"))
        return found


class ExpressionSettings(TrainingSettings):
    """Table 5's classifier of expressions; its sizes are not the paper's, which prints none."""

    looks_at_lighting = False

    width: int = Field(64, ge=4, le=256)
    """Filters of the first convolution."""
    hidden: int = Field(400, ge=4, le=4096)
    dropout: float = Field(0.5, ge=0, lt=1)


class HourglassSettings(Settings):
    """The size of a generator; StarGAN's whole choice."""

    width: int = Field(64, ge=4, le=256)
    """Filters of conv0."""
    blocks: int = Field(6, ge=0, le=24)
    """Residual blocks per hourglass."""
    residual: bool = False
    """Each hourglass changes what it reads, tanh(change + artanh(input)), instead of making an image; False in the paper."""


class GeneratorSettings(HourglassSettings):
    """Tables 7-9 and 12."""

    upsampling: Literal["pixel_shuffle", "bilinear", "transposed"] = "pixel_shuffle"
    disentangled: bool = True
    """False: one hourglass (Table 11, wo/ disentangling)."""
    matched: bool = False
    """With disentangled=False: ``width`` becomes the one that gives it as many parameters as three hourglasses of ``width``."""
    icnr: bool = False
    """Equal initial weights for the four pixels that pixel_shuffle makes of one, so that no grid has to be unlearnt. The paper
    does not say; its authors' framework draws all at random."""


class DiscriminatorSettings(Settings):
    """Table 10."""

    width: int = Field(64, ge=4, le=256)
    layers: int = Field(6, ge=2, le=9)
    """Convolutions of stride 2."""
    classifier: Literal["average", "valid"] = "average"
    """D_cls: 1×1 convolution averaged over the map, or StarGAN's convolution over the whole map."""


class ColourShares(Settings):
    """How often an image is drawn as it is and in other colours, against one another; what there is none of has no share.

    The paper says "randomly" (section 5), which is equally often.
    """

    as_it_is: float = Field(1.0, ge=0, le=1e6)
    recolored: float = Field(1.0, gt=0, le=1e6)
    white_balanced: float = Field(1.0, gt=0, le=1e6)


class LossSettings(Settings):
    """Weights of Eq. 7; a weight of 0 leaves the term out and what only it needs is not computed."""

    lambda_adv: Weight = 1.0
    """Ladv; 1 in the paper."""
    lambda_adv_g: Weight | None = None
    """Ladv in what G minimises, if not ``lambda_adv``; 0 for Table 11's wo/ Ladv, where D learns on as in LEGAN."""
    lambda_gp: Weight = 10.0
    """Gradient penalty."""
    lambda_1: Weight = 20.0
    """Lcls."""
    lambda_1_g: Weight | None = None
    """Lcls in what G minimises, if not ``lambda_1``; 0 for Table 11's wo/ Lcls."""
    lambda_2: Weight = 10.0
    """Lrec."""
    lambda_3: Weight = 10.0
    """Lid."""
    lambda_4: Weight = 0.5
    """Lqual."""
    lambda_5: Weight = 1e-7
    """Ltv."""
    q: float = Field(8.0, ge=0.0, le=10.0)
    """Quality that Lqual asks of the output (Table 13), in rating units."""
    self_rec: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the images whose Lrec is of G(I_a, f_a) instead of G(G(I_a, f_b), f_a), at no cost; 0 in the paper. The cycle
    alone lets a young G drop skin and hair colour on the way there and invent them on the way back; this doesn't."""
    classification: Literal["bce", "bce_sum", "softmax"] = "bce"
    """Lcls as mean binary cross-entropy over the A logits, its sum (StarGAN's), or two softmax cross-entropies."""

    def of_generator(self, name: Literal["lambda_adv", "lambda_1"]) -> float:
        """The weight of a term that D and G share, in what G minimises."""
        own: float | None = getattr(self, f"{name}_g")
        shared: float = getattr(self, name)
        return shared if own is None else own


class TranslatorSettings(TrainingSettings):
    """What LEGAN and its rivals share."""

    shift: int = Field(0, ge=0, le=64)
    """Move each image by up to so many pixels in both directions, its edges repeated: for data sets so small that D learns
    them by heart. 0 in the paper."""
    recolor: tuple[Path, ...] = ()
    """Folders of recolourers (section 18): each time that a training image is drawn it is as it is, or in one's colours."""
    white_balance: tuple[WhiteBalance, ...] = ()
    """Settings of a white balance (section 18): each time that a training image is drawn it is as it is, or at one of these."""
    white_balance_by: Literal["adaptation", "deep_editor"] = "adaptation"
    """Chromatic adaptation and Shades of Grey, or the paper's deep editor with its published weights, which are a download."""
    colour_shares: ColourShares = ColourShares()
    judge: Path | None = None
    """Folder of the classifier that the model carries to read a face's own classes; null: D's head, where it learns classes."""
    matcher: Path | None = None
    """Folder of the identity network that the model carries to tell people apart; null: T, unless that is FaceNet."""

    @property
    def in_other_colours(self) -> bool:
        """Whether images are drawn in other colours than their own, too."""
        return bool(self.recolor or self.white_balance)

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        twice = [name for name in dict.fromkeys(self.white_balance) if self.white_balance.count(name) > 1]
        if twice:
            found.append(Problem("white_balance", f"it names {', '.join(twice)} twice; once is enough"))
        if len(set(self.recolor)) < len(self.recolor):
            found.append(Problem("recolor", "it names a recolourer twice; once is enough"))
        return found


class CriticSettings(TranslatorSettings):
    """What LEGAN and StarGAN share: a critic with a gradient penalty, and the terms of Eq. 7."""

    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    loss: LossSettings = LossSettings()
    critic_steps: int = Field(5, ge=1, le=20)
    """D steps per G step."""
    d_learning_rate: LearningRate | None = None
    """D's learning rate, if not ``adam.learning_rate``; it falls as G's does."""
    average_decay: float = Field(0.0, ge=0.0, lt=1.0)
    """Decay of a moving average of G's weights, then what is validated, pictured and exported; 0, as in the paper: none."""
    targets: Literal["uniform", "permute"] = "uniform"
    """How target attributes are drawn."""
    identity: Path | None = None
    """Folder of T; needed unless loss.lambda_3 is 0."""
    quality: Path | None = None
    """Folder of Q; needed unless loss.lambda_4 is 0."""
    compile: bool = False
    """Have PyTorch compile G when the training starts: on a GPU all of it, which takes a minute or two; on a CPU its instance
    norms, which takes seconds and a C++ compiler. The last bits of results change."""

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        if self.loss.lambda_adv == 0 and self.loss.lambda_1 == 0:
            message = "it and loss.lambda_1 are 0, so that D has nothing to learn; set one of them"
            found.append(Problem("loss.lambda_adv", message, ("loss.lambda_1",)))
        for shared in ("lambda_adv", "lambda_1"):
            if getattr(self.loss, shared) == 0 and (getattr(self.loss, f"{shared}_g") or 0) > 0:
                message = f"G would follow what D never learns, since loss.{shared} is 0; set that above 0, or leave this out"
                found.append(Problem(f"loss.{shared}_g", message, (f"loss.{shared}",)))
        if self.loss.lambda_3 > 0 and self.identity is None:
            message = "Lid needs a trained T; give its folder, or set loss.lambda_3=0"
            found.append(Problem("identity", message, ("loss.lambda_3",)))
        if self.loss.lambda_4 > 0 and self.quality is None:
            message = "Lqual needs a trained Q; give its folder, or set loss.lambda_4=0"
            found.append(Problem("quality", message, ("loss.lambda_4",)))
        return found


class LeganSettings(CriticSettings):
    """LEGAN (sections 4 and 5)."""

    generator: GeneratorSettings = GeneratorSettings()

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        if self.generator.matched and self.generator.disentangled:
            message = "it makes a single hourglass as large as three, and there are three; set generator.disentangled=false too"
            found.append(Problem("generator.matched", message, ("generator.disentangled",)))
        return found
