import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from legan.models import norm
from legan.models.norm import InstanceNorm, instance_norm, memory_format

LAYOUTS = [torch.contiguous_format, torch.channels_last]
SHAPES = [(2, 5, 8, 8), (3, 4, 32, 32), (2, 3, 40, 28), (1, 7, 4, 6)]  # below and above the size where the kernel changes


def reference(x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor, relu: bool = False) -> list[Tensor]:
    """Output and gradients of PyTorch's instance norm, in float64 and contiguous."""
    theirs = nn.InstanceNorm2d(x.shape[1], affine=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(weight)
        theirs.bias.copy_(bias)
    x = x.detach().double().contiguous().requires_grad_()
    y = theirs(x).relu() if relu else theirs(x)
    y.backward(dy.double().contiguous())  # PyTorch 2.15 answers wrongly where B = 1 and the layouts differ
    assert x.grad is not None
    assert theirs.weight.grad is not None
    assert theirs.bias.grad is not None
    return [y.detach(), x.grad, theirs.weight.grad, theirs.bias.grad]


def ours(x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor, relu: bool = False, fused: bool = False) -> list[Tensor]:
    leaves = [values.detach().requires_grad_() for values in (x, weight, bias)]
    y = instance_norm(*leaves, relu, fused)
    y.backward(dy)
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert len(gradients) == 3
    return [y.detach(), *gradients]


def problem(shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.randn(shape, generator=generator) + 2).to(dtype).contiguous(memory_format=layout)
    dy = torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=layout)
    weight, bias = torch.rand(shape[1], generator=generator) + 0.5, torch.randn(shape[1], generator=generator)
    return [x, weight, bias, dy]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("relu", [False, True])
def test_equals_pytorchs_instance_norm(shape: tuple[int, ...], layout: torch.memory_format, relu: bool) -> None:
    arguments = problem(shape, layout, torch.float32)
    for own, expected in zip(ours(*arguments, relu), reference(*arguments, relu), strict=True):
        torch.testing.assert_close(own.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_compiled_kernels_equal_pytorchs_instance_norm() -> None:
    for relu, shape, dtype, tolerance in (
        (False, SHAPES[0], torch.float32, 1e-4),
        (True, SHAPES[1], torch.float32, 1e-4),
        (True, SHAPES[1], torch.bfloat16, 0.05),
    ):
        arguments = problem(shape, torch.channels_last, dtype)
        found = ours(*arguments, relu, fused=True)
        assert found[0].dtype is dtype
        assert memory_format(found[0]) is memory_format(arguments[0])
        for own, expected in zip(found, reference(*arguments, relu), strict=True):
            torch.testing.assert_close(own.double(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


WITHOUT_COMPILER = """
from legan.models.norm import InstanceNorm, fuse
norm = InstanceNorm(2, relu=True)
try:
    fuse(norm)
except RuntimeError as error:
    print(bool(str(error)), "\\n" in str(error), norm.fused)
"""


@pytest.mark.long
def test_a_machine_without_a_compiler_is_told_apart(tmp_path: Path) -> None:
    there = os.environ | {"CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, check=True, env=there)
    assert done.stdout == "True False False\n"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_maps_keep_their_dtype_and_float32_statistics(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    arguments = problem(shape, layout, torch.bfloat16)
    y, dx, d_weight, d_bias = ours(*arguments)
    assert torch.equal(ours(*arguments, relu=True)[0], y.relu())
    expected = reference(*arguments)
    assert (y.dtype, dx.dtype, d_weight.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    for own, exact in zip((y, dx), expected[:2], strict=True):  # a rounding to bfloat16 is at most 1/256 of the value
        torch.testing.assert_close(own.double(), exact, rtol=1 / 128, atol=2e-3)
    torch.testing.assert_close(d_weight.double(), expected[2], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(d_bias.double(), expected[3], rtol=2e-3, atol=2e-3)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 40), st.integers(2, 40)),
    channels_last=st.booleans(),
    relu=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_equals_pytorchs_instance_norm_at_any_size(shape: tuple[int, ...], channels_last: bool, relu: bool, seed: int) -> None:
    arguments = problem(shape, torch.channels_last if channels_last else torch.contiguous_format, torch.float32, seed)
    for own, expected in zip(ours(*arguments, relu), reference(*arguments, relu), strict=True):
        torch.testing.assert_close(own.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_the_derivatives(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weight = torch.rand(3, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.rand(3, generator=generator, dtype=torch.float64, requires_grad=True)
    for relu in (False, True):
        assert torch.autograd.gradcheck(instance_norm, (x, weight, bias, relu))


def test_relu_in_chunks_is_relu_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = problem((5, 4, 32, 32), torch.channels_last, torch.float32)
    whole = ours(*arguments, relu=True)
    for cached in (1, 2 * 4 * 32 * 32):  # one sample at a time, and two, which leaves one over
        monkeypatch.setattr(norm, "_CACHED", cached)
        for own, expected in zip(ours(*arguments, relu=True), whole, strict=True):
            assert torch.equal(own, expected)


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    x, weight, bias, _ = problem((1, 2, 8, 8), torch.channels_last, torch.float32)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(instance_norm(x, weight, bias).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_kept_forward_and_backward(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    x, weight, bias, dy = problem(shape, layout, torch.float32)
    other = torch.contiguous_format if layout is torch.channels_last else torch.channels_last
    expected = ours(x, weight, bias, dy)
    y, dx, _, _ = ours(x, weight, bias, dy.contiguous(memory_format=other))  # the gradient may come in the other layout
    assert memory_format(y) is layout
    assert memory_format(dx) is layout
    torch.testing.assert_close(dx, expected[1])


def test_parameters_are_those_of_pytorchs_layer() -> None:
    theirs = nn.InstanceNorm2d(4, affine=True)
    with torch.no_grad():
        theirs.weight.uniform_()
        theirs.bias.uniform_()
    ours = InstanceNorm(4, relu=False)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_constant_map_becomes_the_bias() -> None:
    for layout in LAYOUTS:
        for size in (8, 32):
            x = torch.full((2, 3, size, size), 7.0).contiguous(memory_format=layout)
            y = instance_norm(x, torch.ones(3), torch.tensor([1.0, 2.0, 3.0]))
            torch.testing.assert_close(y, torch.tensor([1.0, 2.0, 3.0])[None, :, None, None].expand_as(y), atol=1e-3, rtol=0)


def test_a_low_precision_module_still_computes_in_float32() -> None:
    low = InstanceNorm(3, relu=False).bfloat16()
    x = torch.randn(2, 3, 8, 8).bfloat16()
    for layout in LAYOUTS:
        y = low(x.contiguous(memory_format=layout))
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), nn.InstanceNorm2d(3)(x.float()), atol=2e-2, rtol=1e-2)


def test_memory_format_names_the_layout() -> None:
    x = torch.zeros(2, 3, 4, 4)
    assert memory_format(x) is torch.contiguous_format
    assert memory_format(x.contiguous(memory_format=torch.channels_last)) is torch.channels_last
    assert memory_format(torch.zeros(2, 1, 4, 4).contiguous(memory_format=torch.channels_last)) is torch.contiguous_format
