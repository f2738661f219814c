"""Whether a generator answers: by hand, and networks whose weights cannot know the target or the face."""

import pytest
import torch
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.models.response import Response, response, response_to
from legan.models.stargan import StarGanGenerator
from legan.models.stargan_v2 import StyledGenerator
from legan.models.translator import Translator

SCHEMA = AttributeSchema(("neutral", "smile", "scream"), ("left", "front"))
FACES = torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1)  # they deviate by 0.5


def shown(*of_face: list[float]) -> Tensor:
    """One-pixel outputs: for each face those of its targets."""
    return torch.tensor(of_face).view(2, -1, 1, 1, 1)


def test_by_hand() -> None:
    # Two targets 4/255 apart deviate by 2/255 of a range of 2: one grey level. Three at -d, 0, d deviate by d·√(2/3).
    lighting = shown([-0.5, -0.5 + 4 / 255], [0.5, 0.5 + 4 / 255])
    d = 3 / 255
    expression = shown([-0.5 - d, -0.5, -0.5 + d], [0.5 - d, 0.5, 0.5 + d])
    found = response(FACES, expression, lighting)
    assert found.lighting == pytest.approx(1.0, abs=1e-5)
    assert found.expression == pytest.approx(1.5 * (2 / 3) ** 0.5, abs=1e-5)
    assert found.face == pytest.approx(1.0, abs=1e-5)
    same = response(FACES, shown([0.02, 0.1], [0.04, 0.1]), shown([0.0, 0.3], [0.0, 0.3]))
    # Over the faces the first output deviates by 0.01, and the other three by nothing: √(0.0001 / 4) of 0.5.
    assert same.face == pytest.approx(0.01, abs=1e-5)
    one = response(FACES[:1], shown([0.1], [0.2])[:1], shown([0.1], [0.2])[:1])
    assert one == Response(None, None, None)


def test_what_it_says() -> None:
    assert Response(1.0, None, 0.1).collapse is None
    assert Response(0.04, 5.0, 0.9).collapse == (
        "its output does not depend on the expression asked for (it changes by 0.04 of 255 grey levels)"
    )
    assert Response(0.0, 0.94, 0.015).collapse == (
        "its output does not depend on the expression asked for (it changes by 0 of 255 grey levels)"
        " or on the lighting asked for (it changes by 0.94 of 255 grey levels)"
        " or on the face that it is shown (outputs differ by 1.5% of what the faces differ by)"
    )


def legan(residual: bool) -> Generator:
    return Generator(3, 2, width=8, blocks=1, residual=residual)


def stargan(residual: bool) -> StarGanGenerator:
    return StarGanGenerator(3, 2, width=8, blocks=1, residual=residual)


def forget_target(G: Translator) -> None:
    with torch.no_grad():
        if isinstance(G, Generator):
            for hourglass in (G.expression, G.lighting):
                hourglass.conv0[0].weight[:, 3:] = 0
        elif isinstance(G, StarGanGenerator):
            G.conv0[0].weight[:, 3:] = 0
        else:
            G.mapping.requires_grad_(False)
            for name, values in G.mapping.named_parameters():
                if "shared" not in name:
                    values.zero_()


def forget_face(G: Translator) -> None:
    with torch.no_grad():
        if isinstance(G, Generator):
            for hourglass in (G.expression, G.lighting):
                hourglass.conv0[0].weight[:, :3] = 0
        else:
            assert isinstance(G, StarGanGenerator)
            G.conv0[0].weight[:, :3] = 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: legan(residual=False), lambda: legan(residual=True), lambda: stargan(residual=False),
        lambda: stargan(residual=True), lambda: StyledGenerator(3, 2, 32, width=8, max_width=16, style=4, latent=4, hidden=8),
    ],
)  # fmt: skip
def test_every_kind_of_generator_that_forgets_its_target_is_found(make) -> None:
    torch.manual_seed(0)
    G, x = make(), torch.rand(5, 3, 32, 32) * 2 - 1
    found = response_to(G, SCHEMA, x)
    if not isinstance(G, StyledGenerator):  # a young one makes hardly a difference between its styles
        assert found.collapse is None
    forget_target(G)
    found = response_to(G, SCHEMA, x)
    assert found.expression == pytest.approx(0.0, abs=1e-3)
    assert found.lighting == pytest.approx(0.0, abs=1e-3)
    assert found.collapse is not None
    assert "expression" in found.collapse
    assert "lighting" in found.collapse


@pytest.mark.parametrize("make", [legan, stargan])
def test_one_face_for_everybody_is_found(make) -> None:
    torch.manual_seed(0)
    G, x = make(residual=False), torch.rand(5, 3, 32, 32) * 2 - 1
    forget_face(G)
    found = response_to(G, SCHEMA, x)
    assert found.face == pytest.approx(0.0, abs=1e-4)
    assert found.collapse is not None
    assert found.collapse.startswith("its output does not depend on the face that it is shown (outputs differ by 0.0% of what")
    with torch.no_grad():
        last = G.target.conv5 if isinstance(G, Generator) else G.conv3
        last.weight.zero_()
    assert response_to(G, SCHEMA, x) == Response(0.0, 0.0, 0.0), "the same picture whatever is given"
