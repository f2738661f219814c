"""What a trained model translates with: LEGAN's generator or a rival's, all called as ``translator(x, f) -> Translation``."""

from legan.models import generator, stargan, stargan_v2

Translator = generator.Generator | stargan.StarGanGenerator | stargan_v2.StyledGenerator
