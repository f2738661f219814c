"""Settings of trainings beside LEGAN's: its rivals, StarGAN and StarGAN-v2, with their own defaults, and the recolourer."""

from typing import Literal

from pydantic import Field

from legan.platform.errors import Problem
from legan.platform.settings import (
    AdamSettings,
    CriticSettings,
    DiscriminatorSettings,
    HourglassSettings,
    LearningRate,
    LossSettings,
    Settings,
    TrainingSettings,
    TranslatorSettings,
    Weight,
)


class StarGanAdamSettings(AdamSettings):
    """StarGAN's: the learning rate falls over the second half."""

    decay_from: float = Field(0.5, ge=0.0, le=1.0)


class StarGanDiscriminatorSettings(DiscriminatorSettings):
    """Table 10 with StarGAN's own head."""

    classifier: Literal["average", "valid"] = "valid"


class StarGanLossSettings(LossSettings):
    """StarGAN's weights, by LEGAN's names; λ4 above 0 makes it StarGAN with Lqual."""

    lambda_1: Weight = 1.0
    lambda_3: Weight = 0.0
    lambda_4: Weight = 0.0
    lambda_5: Weight = 0.0
    classification: Literal["bce", "bce_sum", "softmax"] = "bce_sum"


class StarGanSettings(CriticSettings):
    """StarGAN, and StarGAN with Lqual (Tables 1-3)."""

    batch_size: int = Field(16, ge=1, le=4096)
    adam: StarGanAdamSettings = StarGanAdamSettings()
    generator: HourglassSettings = HourglassSettings()
    discriminator: StarGanDiscriminatorSettings = StarGanDiscriminatorSettings()
    loss: StarGanLossSettings = StarGanLossSettings()


class StarGanV2AdamSettings(AdamSettings):
    """StarGAN-v2's."""

    beta1: float = Field(0.0, ge=0.0, lt=1.0)
    beta2: float = Field(0.99, ge=0.0, lt=1.0)
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0)


class StarGanV2NetworkSettings(Settings):
    """The sizes of StarGAN-v2's four networks."""

    width: int = Field(128, ge=4, le=512)
    """Filters of the first convolution of G, the style encoder and D; StarGAN-v2: 16384 / image size."""
    max_width: int = Field(512, ge=4, le=2048)
    """Channels double at each halving up to this."""
    style: int = Field(64, ge=2, le=512)
    """Length of a style."""
    latent: int = Field(16, ge=1, le=512)
    """Length of the mapping network's input."""
    hidden: int = Field(512, ge=4, le=2048)
    """Width of the mapping network."""


class StarGanV2LossSettings(Settings):
    """StarGAN-v2's weights; a weight of 0 leaves the term out."""

    lambda_r1: Weight = 1.0
    """Gradient penalty on real images."""
    lambda_sty: Weight = 1.0
    """Style reconstruction."""
    lambda_ds: Weight = 1.0
    """Diversity at the start; it falls linearly to 0 at the end of the training."""
    lambda_cyc: Weight = 1.0
    """Cycle consistency."""


class StarGanV2Settings(TranslatorSettings):
    """StarGAN-v2 (Tables 1-3)."""

    batch_size: int = Field(8, ge=1, le=4096)
    adam: StarGanV2AdamSettings = StarGanV2AdamSettings()
    mapping_learning_rate: LearningRate = 1e-6
    """The mapping network's, in place of adam.learning_rate."""
    network: StarGanV2NetworkSettings = StarGanV2NetworkSettings()
    loss: StarGanV2LossSettings = StarGanV2LossSettings()
    average_decay: float = Field(0.999, ge=0.0, lt=1.0)
    """Share of the moving average of G and the mapping network that a step keeps; what translates is the average."""

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        if self.network.width > self.network.max_width:
            message = f"{self.network.width} is above network.max_width {self.network.max_width}; lower it"
            found.append(Problem("network.width", message, ("network.max_width",)))
        return found


class ColorizationGeneratorSettings(Settings):
    """Table 14."""

    width: int = Field(64, ge=4, le=256)
    """Filters of conv1."""
    skips: Literal["add", "concatenate", "none"] = "concatenate"
    """What becomes of the encoder's maps where the decoder's are as large."""


class CasiaNetSettings(Settings):
    """CASIA-Net, D of the recolouring."""

    width: int = Field(32, ge=4, le=256)
    """Filters of its first convolution."""


class RecolorLossSettings(Settings):
    """pix2pix's objective."""

    lambda_adv: Weight = 1.0
    """The conditional adversarial loss; 0 leaves D out."""
    lambda_l1: Weight = 100.0
    """Mean L1 to the original; 100 in pix2pix."""


class RecolorSettings(TrainingSettings):
    """The recolouring network (sections 5 and 18), trained to colour images that were made grey."""

    looks_at_classes = looks_at_lighting = False

    generator: ColorizationGeneratorSettings = ColorizationGeneratorSettings()
    discriminator: CasiaNetSettings = CasiaNetSettings()
    loss: RecolorLossSettings = RecolorLossSettings()

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        found = super().conflicts()
        if self.loss.lambda_adv == 0 and self.loss.lambda_l1 == 0:
            message = "it and loss.lambda_l1 are 0, so that G has nothing to learn; set one of them"
            found.append(Problem("loss.lambda_adv", message, ("loss.lambda_l1",)))
        return found
