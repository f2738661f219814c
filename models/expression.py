"""What reads a face's classes: the judge of expression and lighting, and the classifier that Table 5 trains.

The judge never sees a generator's output in training; without its accuracy an evaluation favours generators that copy.

Shapes: B batch, S image size, E expressions, L lightings, A = E + L attributes.
"""

from itertools import pairwise

from torch import Tensor, nn

from legan.models.discriminator import Discriminator
from legan.models.layers import LEAKY_SLOPE, expect_images, full_precision


class AttributeClassifier(nn.Module):
    """A small residual network with LeakyReLU and dropout, and one linear head for each kind of attribute.

    Four stages of ``width``, 2·, 4· and 8·``width`` channels, each halving the map, then the mean over each quadrant of
    the aligned face, because which side is bright is what tells a lighting from its mirror image. Batch norm keeps absolute
    brightness, which instance norm would take away. ValueError for an image size that is no multiple of 16, or below 32.

    >>> import torch
    >>> expression, lighting = AttributeClassifier(expressions=2, lightings=3, image_size=32, width=4)(torch.zeros(1, 3, 32, 32))
    >>> expression.shape, lighting.shape
    (torch.Size([1, 2]), torch.Size([1, 3]))
    """

    def __init__(self, expressions: int, lightings: int, image_size: int = 128, width: int = 32, dropout: float = 0.3):
        super().__init__()
        if image_size < 32 or image_size % 16:
            raise ValueError(f"the attribute classifier needs an image size of 32, 48, 64 and so on, not {image_size}.")
        self.image_size = image_size
        self.numbers = {
            "expressions": expressions, "lightings": lightings, "image_size": image_size, "width": width, "dropout": dropout,
        }  # fmt: skip
        channels = [width * 2**i for i in range(4)]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        )
        self.stages = nn.Sequential(
            *(HalvingBlock(c_in, c_out) for c_in, c_out in zip([width, *channels], channels, strict=False))
        )
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.expression = nn.Linear(channels[-1] * 4, expressions)
        self.lighting = nn.Linear(channels[-1] * 4, lightings)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of expression, B×E, and of lighting, B×L, for images B×3×S×S in [-1, 1]; ValueError for another shape."""
        expect_images(x, self.image_size)
        h = self.dropout(self.pool(self.stages(self.stem(x))).flatten(1))
        return full_precision(self.expression(h)), full_precision(self.lighting(h))


class ExpressionClassifier(nn.Module):
    """Table 5's classifier, after the paper's [32]: three convolutions, two fully connected layers, LeakyReLU and dropout.

    Convolutions of 5×5 to ``width``, 2·``width`` and 2·``width`` channels, each halved by max pooling, then ``hidden`` units and
    the classes. The paper prints no sizes. ValueError for an image size that is no multiple of 8, or below 16.

    >>> import torch
    >>> ExpressionClassifier(expressions=4, image_size=32, width=4, hidden=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 4])
    """

    def __init__(self, expressions: int, image_size: int = 128, width: int = 64, hidden: int = 400, dropout: float = 0.5):
        super().__init__()
        if image_size < 16 or image_size % 8:
            raise ValueError(f"the expression classifier needs an image size of 16, 24, 32 and so on, not {image_size}.")
        self.image_size = image_size
        self.numbers = {
            "expressions": expressions, "image_size": image_size, "width": width, "hidden": hidden, "dropout": dropout,
        }  # fmt: skip
        channels, layers = [3, width, 2 * width, 2 * width], list[nn.Module]()
        for c_in, c_out in pairwise(channels):
            layers += [nn.Conv2d(c_in, c_out, kernel_size=5, padding=2), nn.LeakyReLU(LEAKY_SLOPE, inplace=True), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        self.fc1 = nn.Linear(2 * width * (image_size // 8) ** 2, hidden)
        self.activation = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, expressions)

    def forward(self, x: Tensor) -> Tensor:
        """Logits B×E for images B×3×S×S in [-1, 1]; ValueError for another shape."""
        expect_images(x, self.image_size)
        h = self.activation(self.fc1(self.convolutions(x).flatten(1)))
        return full_precision(self.fc2(self.dropout(h)))


class HalvingBlock(nn.Module):
    """Residual block of stride 2: B×C×H×W to B×C'×H/2×W/2."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False))
        self.activation = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of body and skip."""
        out: Tensor = self.activation(self.body(x) + self.skip(x))
        return out


Predictor = AttributeClassifier | Discriminator
"""What reads a face's own classes: the judge, or D by its head D_cls."""


def class_logits(predictor: Predictor, x: Tensor, expressions: int) -> tuple[Tensor, Tensor]:
    """Logits of expression, B×E, and of lighting, B×L, for images B×3×S×S in [-1, 1]; the largest of each is the class.

    ``expressions`` is E, by which the A logits of D are parted. ValueError for another shape of x.
    """
    if isinstance(predictor, Discriminator):
        logits = predictor(x).logits
        return logits[:, :expressions], logits[:, expressions:]
    answer: tuple[Tensor, Tensor] = predictor(x)
    return answer
