"""StarGAN's generator (Choi et al., 2018), a rival of Tables 1–3, as its public code builds it.

Its discriminator is LEGAN's (Table 10 took it over) with ``classifier="valid"``: models/discriminator.py.

Shapes: B batch, H×W image, E expressions, L lightings, A = E + L attributes.
"""

from torch import Tensor, nn

from legan.models.generator import Translation, expect_labels, expect_quarters, with_labels
from legan.models.layers import ResidualBlock, norm_relu, squashed


class StarGanGenerator(nn.Module):
    """G of StarGAN: the image and all label planes to the image under these labels, through one bottleneck.

    ``width`` is conv0's number of filters and ``blocks`` the number of residual blocks; 64 and 6 in StarGAN. No biases;
    affine instance norm without running statistics, which StarGAN keeps and never reads. For 5 attributes at this size
    8 430 528 parameters. With ``residual=True``, which StarGAN has not, it changes the image instead of making one.
    """

    def __init__(self, expressions: int, lightings: int, width: int = 64, blocks: int = 6, residual: bool = False):
        super().__init__()
        self.expressions, self.lightings, self.width, self.blocks = expressions, lightings, width, blocks
        self.residual = residual
        C0, C1, C2 = width, 2 * width, 4 * width
        A = expressions + lightings
        self.conv0 = norm_relu(nn.Conv2d(3 + A, C0, kernel_size=7, padding=3, bias=False), channels=C0)
        self.conv1 = norm_relu(nn.Conv2d(C0, C1, kernel_size=4, stride=2, padding=1, bias=False), channels=C1)
        self.conv2 = norm_relu(nn.Conv2d(C1, C2, kernel_size=4, stride=2, padding=1, bias=False), channels=C2)
        self.rb = nn.Sequential(*(ResidualBlock(C2) for _ in range(blocks)))
        self.up0 = norm_relu(nn.ConvTranspose2d(C2, C1, kernel_size=4, stride=2, padding=1, bias=False), channels=C1)
        self.up1 = norm_relu(nn.ConvTranspose2d(C1, C0, kernel_size=4, stride=2, padding=1, bias=False), channels=C0)
        self.conv3 = nn.Conv2d(C0, 3, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor, f: Tensor) -> Translation:
        """Translate images x, B×3×H×W in [-1, 1], to labels f, B×A = [expression one-hot | lighting one-hot].

        There are no masks. Float32 also under autocast. ValueError for labels of another shape, or unless H and W are
        multiples of 4.
        """
        expect_labels(x, f, self.expressions + self.lightings)
        expect_quarters(x)
        h = self.conv2(self.conv1(self.conv0(with_labels(x, f))))
        h = self.up1(self.up0(self.rb(h)))
        return Translation(squashed(self.conv3(h), x if self.residual else None), None, None)
