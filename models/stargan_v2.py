"""StarGAN-v2's networks (Choi et al., 2020), a rival of Tables 1–3, as its public code builds them at ``w_hpf = 0``.

That is without the high-pass skips and the heat maps of a face landmark network, which the public code uses for faces
only: nothing here but the data says that the images are faces. A domain is a pair of expression and lighting.

Shapes: B batch, S image size (a power of two, 32 or more), C channels, K domains, s style length, z latent length.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.generator import Translation, expect_labels
from legan.models.layers import expect_images, full_precision
from legan.models.norm import InstanceNorm, instance_norm

SLOPE = 0.2  # of every LeakyReLU
_HALF = math.sqrt(0.5)  # keeps the variance of a sum of two


class PreActivationBlock(nn.Module):
    """Pre-activation residual block: (norm), LeakyReLU, 3×3, (2×2 mean), (norm), LeakyReLU, 3×3; plus the input; over √2.

    ``halve`` False keeps the size.
    """

    def __init__(self, c_in: int, c_out: int, *, norm: bool, halve: bool = True):
        super().__init__()
        self.halve = halve
        self.norm0 = InstanceNorm(c_in, relu=False) if norm else nn.Identity()
        self.conv0 = nn.Conv2d(c_in, c_in, kernel_size=3, padding=1)
        self.norm1 = InstanceNorm(c_in, relu=False) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(c_in, c_out, kernel_size=3, padding=1)
        self.shortcut = _shortcut(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to B×C'×H/2×W/2."""
        h = self.conv0(F.leaky_relu(self.norm0(x), SLOPE))
        if self.halve:
            # The mean first: it commutes with the 1×1 convolution, which is then four times cheaper.
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = self.conv1(F.leaky_relu(self.norm1(h), SLOPE))
        out: Tensor = (h + self.shortcut(x)) * _HALF
        return out


class AdaptiveNorm(nn.Module):
    """AdaIN: instance norm without weights, then (1 + γ)·x + β with γ and β linear in the style."""

    def __init__(self, style: int, channels: int):
        super().__init__()
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """B×C×H×W and styles B×s to B×C×H×W."""
        gamma, beta = self.fc(s)[:, :, None, None].chunk(2, dim=1)
        C = x.shape[1]
        out: Tensor = (1 + gamma) * instance_norm(x, s.new_ones(C), s.new_zeros(C)) + beta
        return out


class StyledBlock(nn.Module):
    """AdaIN, LeakyReLU, (nearest ×2), 3×3, AdaIN, LeakyReLU, 3×3; plus the input; over √2."""

    def __init__(self, c_in: int, c_out: int, style: int, *, upsample: bool = True):
        super().__init__()
        self.upsample = upsample
        self.norm0 = AdaptiveNorm(style, c_in)
        self.conv0 = nn.Conv2d(c_in, c_out, kernel_size=3, padding=1)
        self.norm1 = AdaptiveNorm(style, c_out)
        self.conv1 = nn.Conv2d(c_out, c_out, kernel_size=3, padding=1)
        self.shortcut = _shortcut(c_in, c_out)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """B×C×H×W and styles B×s to B×C'×2H×2W."""
        h, x = F.leaky_relu(self.norm0(x, s), SLOPE), self.shortcut(x)
        if self.upsample:
            h, x = F.interpolate(h, scale_factor=2, mode="nearest"), F.interpolate(x, scale_factor=2, mode="nearest")
        h = self.conv1(F.leaky_relu(self.norm1(self.conv0(h), s), SLOPE))
        out: Tensor = (h + x) * _HALF
        return out


class DomainLinear(nn.Module):
    """A linear layer for each domain, of which each row of the batch uses its own."""

    def __init__(self, domains: int, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(domains, out_features, in_features) * math.sqrt(2 / in_features))
        self.bias = nn.Parameter(torch.zeros(domains, out_features))

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """B×in_features and domains int64 B to B×out_features."""
        return torch.baddbmm(self.bias[y].unsqueeze(2), self.weight[y], h.unsqueeze(2)).squeeze(2)


class StarGanV2Generator(nn.Module):
    """G: an image and a style to an image; no tanh, so a value may leave [-1, 1].

    Halved to 16×16 by residual blocks of up to ``max_width`` channels with instance norm, two more blocks, and back through
    as many blocks with AdaIN. ``width`` is the first convolution's number of filters: 128 in StarGAN-v2 at 128×128.
    At that size and with styles of 64 numbers it has 33 632 003 parameters.
    """

    def __init__(self, image_size: int = 128, width: int = 128, max_width: int = 512, style: int = 64):
        super().__init__()
        self.image_size = image_size
        channels = _channels(image_size, width, max_width, smallest=16)
        pairs = list(pairwise(channels))
        last = channels[-1]
        self.from_rgb = nn.Conv2d(3, width, kernel_size=3, padding=1)
        self.encode = nn.Sequential(
            *(PreActivationBlock(c_in, c_out, norm=True) for c_in, c_out in pairs),
            *(PreActivationBlock(last, last, norm=True, halve=False) for _ in range(2)),
        )
        self.decode = nn.ModuleList(
            [
                *(StyledBlock(last, last, style, upsample=False) for _ in range(2)),
                *(StyledBlock(c_out, c_in, style) for c_in, c_out in reversed(pairs)),
            ]
        )
        self.norm = InstanceNorm(width, relu=False)
        self.to_rgb = nn.Conv2d(width, 3, kernel_size=1)
        _he_initialise(self)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Images B×3×S×S in [-1, 1] and styles B×s to B×3×S×S; float32 also under autocast."""
        expect_images(x, self.image_size)
        h = self.encode(self.from_rgb(x))
        for block in self.decode:
            h = block(h, s)
        return full_precision(self.to_rgb(F.leaky_relu(self.norm(h), SLOPE)))


class MappingNetwork(nn.Module):
    """F: a latent and a domain to a style. Four shared layers, then three and one for each domain."""

    def __init__(self, domains: int, latent: int = 16, hidden: int = 512, style: int = 64):
        super().__init__()
        self.shared = nn.ModuleList([nn.Linear(latent if i == 0 else hidden, hidden) for i in range(4)])
        self.heads = nn.ModuleList([DomainLinear(domains, hidden, hidden if i < 3 else style) for i in range(4)])
        _he_initialise(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents B×z and domains int64 B to styles B×s; float32 also under autocast."""
        h = z
        for layer in self.shared:
            h = F.relu(layer(h))
        for i, head in enumerate(self.heads):
            h = head(F.relu(h) if i else h, y)
        return full_precision(h)


class StyleEncoder(nn.Module):
    """E: an image and its domain to its style; a layer for each domain on a shared trunk without norm."""

    def __init__(self, domains: int, image_size: int = 128, width: int = 128, max_width: int = 512, style: int = 64):
        super().__init__()
        self.image_size = image_size
        self.trunk = _trunk(image_size, width, max_width)
        self.head = DomainLinear(domains, _channels(image_size, width, max_width, smallest=4)[-1], style)
        _he_initialise(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images B×3×S×S in [-1, 1] and domains int64 B to styles B×s; float32 also under autocast."""
        expect_images(x, self.image_size)
        return full_precision(self.head(self.trunk(x).flatten(1), y))


class StarGanV2Discriminator(nn.Module):
    """D: is the image a real one of this domain? One logit for each domain on a trunk like the style encoder's."""

    def __init__(self, domains: int, image_size: int = 128, width: int = 128, max_width: int = 512):
        super().__init__()
        self.image_size = image_size
        self.trunk = _trunk(image_size, width, max_width)
        self.head = nn.Conv2d(_channels(image_size, width, max_width, smallest=4)[-1], domains, kernel_size=1)
        _he_initialise(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images B×3×S×S in [-1, 1] and domains int64 B to logits B; float32 also under autocast."""
        expect_images(x, self.image_size)
        logits = full_precision(self.head(self.trunk(x))).flatten(1)
        return logits.gather(1, y.unsqueeze(1)).squeeze(1)


class StyledGenerator(nn.Module):
    """What translates: G with the mapping network's style of the wanted domain at one latent, drawn once and kept.

    StarGAN-v2 draws a latent for each image and so gives many answers; with the latent kept, the same image and labels
    always give the same one. In training it holds the moving averages of both networks.
    """

    z: Tensor

    def __init__(
        self,
        expressions: int,
        lightings: int,
        image_size: int = 128,
        width: int = 128,
        max_width: int = 512,
        style: int = 64,
        latent: int = 16,
        hidden: int = 512,
    ):
        super().__init__()
        self.expressions, self.lightings, self.image_size = expressions, lightings, image_size
        self.width, self.max_width, self.style, self.latent, self.hidden = width, max_width, style, latent, hidden
        self.generator = StarGanV2Generator(image_size, width, max_width, style)
        self.mapping = MappingNetwork(expressions * lightings, latent, hidden, style)
        self.register_buffer("z", torch.randn(1, latent, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor, f: Tensor) -> Translation:
        """Translate images x, B×3×S×S in [-1, 1], to labels f, B×A = [expression one-hot | lighting one-hot].

        There are no masks; the image is cut to [-1, 1]. ValueError for other shapes.
        """
        expect_labels(x, f, self.expressions + self.lightings)
        y = domain_of(f[:, : self.expressions].argmax(1), f[:, self.expressions :].argmax(1), self.lightings)
        # Each domain's weights are looked up once, however often it is wanted.
        domains, place = torch.unique(y, return_inverse=True)
        styles = self.mapping(self.z.expand(len(domains), -1), domains)
        return Translation(self.generator(x, styles[place]).clamp(-1, 1), None, None)


def domain_of(expression: Tensor, lighting: Tensor, lightings: int) -> Tensor:
    """The domain, int64 B in 0..E·L - 1, of pairs of classes, int64 B each."""
    return expression * lightings + lighting


def _channels(image_size: int, width: int, max_width: int, *, smallest: int) -> list[int]:
    """Channels at each size from ``image_size`` down to ``smallest``; ValueError unless the former is a power of two from 32."""
    if image_size < 32 or image_size & (image_size - 1):
        raise ValueError(f"StarGAN-v2's networks are for image sizes 32, 64, 128 and so on, not {image_size}.")
    return [min(width * 2**i, max_width) for i in range((image_size // smallest).bit_length())]


def _trunk(image_size: int, width: int, max_width: int) -> nn.Sequential:
    """B×3×S×S to B×C×1×1: halved to 4×4, then a convolution as large as that."""
    channels = _channels(image_size, width, max_width, smallest=4)
    return nn.Sequential(
        nn.Conv2d(3, width, kernel_size=3, padding=1),
        *(PreActivationBlock(c_in, c_out, norm=False) for c_in, c_out in pairwise(channels)),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(channels[-1], channels[-1], kernel_size=4),
        nn.LeakyReLU(SLOPE),
    )


def _shortcut(c_in: int, c_out: int) -> nn.Module:
    return nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, kernel_size=1, bias=False)


def _he_initialise(network: nn.Module) -> None:
    """He's initial weights for ReLU and biases of 0; ``DomainLinear`` has its own."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
