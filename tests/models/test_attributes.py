import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legan.models.attributes import AttributeSchema, sample_targets

SCHEMA = AttributeSchema(
    expressions=("neutral", "smile", "scream"),
    lightings=("front", "left", "right", "dark"),
    flip={"front": "front", "left": "right", "right": "left", "dark": "dark"},
)

names = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8, unique=True).map(tuple)


@st.composite
def schemas(draw: st.DrawFn) -> AttributeSchema:
    expressions, lightings = draw(names), draw(names)
    if draw(st.booleans()):
        return AttributeSchema(expressions, lightings)
    shuffled = draw(st.permutations(lightings))
    pairs = list(zip(shuffled[::2], shuffled[1::2], strict=False))
    flip = {name: name for name in lightings} | dict(pairs) | {b: a for a, b in pairs}
    return AttributeSchema(expressions, lightings, flip)


def test_encode_is_two_one_hots_side_by_side() -> None:
    f = SCHEMA.encode(torch.tensor([2, 0]), torch.tensor([1, 3]))
    assert f.dtype == torch.float32
    assert f.tolist() == [[0, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1]]
    assert SCHEMA.size == 7


@given(schemas(), st.data())
def test_encoding_can_be_read_back(schema: AttributeSchema, data: st.DataObject) -> None:
    E, L = len(schema.expressions), len(schema.lightings)
    expression = torch.tensor(data.draw(st.lists(st.integers(0, E - 1), min_size=1, max_size=5)))
    lighting = torch.tensor(data.draw(st.lists(st.integers(0, L - 1), min_size=len(expression), max_size=len(expression))))
    f = schema.encode(expression, lighting)
    assert torch.equal(f[:, :E].argmax(1), expression)
    assert torch.equal(f[:, E:].argmax(1), lighting)
    assert torch.equal(f.sum(1), torch.full((len(expression),), 2.0))


@given(schemas())
def test_a_schema_survives_json_values(schema: AttributeSchema) -> None:
    assert AttributeSchema.from_dict(schema.to_dict()) == schema


@given(schemas())
def test_mirroring_twice_changes_nothing(schema: AttributeSchema) -> None:
    indices = schema.flip_indices()
    if indices is None:
        assert not schema.flip
    else:
        assert torch.equal(indices[indices], torch.arange(len(schema.lightings)))


def test_flip_swaps_left_and_right() -> None:
    indices = SCHEMA.flip_indices()
    assert indices is not None
    assert indices.tolist() == [0, 2, 1, 3]


def test_indices_by_name() -> None:
    assert SCHEMA.expression_index("scream") == 2
    assert SCHEMA.lighting_index("left") == 1
    with pytest.raises(ValueError, match=r"unknown expression 'sad'; this model knows: neutral, smile, scream"):
        SCHEMA.expression_index("sad")
    with pytest.raises(ValueError, match=r"unknown lighting 'smile'; this model knows: front, left, right, dark"):
        SCHEMA.lighting_index("smile")


@pytest.mark.parametrize(
    ("expressions", "lightings", "flip", "message"),
    [
        ((), ("front",), {}, "at least one expression"),
        (("neutral",), (), {}, "at least one lighting"),
        (("smile", "smile", "neutral"), ("front",), {}, "expression names occur twice: smile"),
        (("neutral",), ("left", "right"), {"left": "right"}, "name every lighting"),
        (("neutral",), ("a", "b", "c"), {"a": "b", "b": "c", "c": "a"}, "not its own inverse at: a, b, c"),
    ],
)
def test_broken_schemas_are_refused(
    expressions: tuple[str, ...], lightings: tuple[str, ...], flip: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        AttributeSchema(expressions, lightings, flip)


def test_uniform_targets_do_not_inherit_the_skew() -> None:
    skewed = torch.zeros(6000, dtype=torch.int64)
    expression, lighting = sample_targets(SCHEMA, skewed, skewed, torch.Generator().manual_seed(0))
    joint = torch.bincount(expression * 4 + lighting, minlength=12)
    assert joint.min() > 400  # 500 expected each, standard deviation 21
    assert joint.max() < 600


def test_permuted_targets_are_the_batchs_own_pairs() -> None:
    expression, lighting = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 3])
    new_e, new_l = sample_targets(SCHEMA, expression, lighting, torch.Generator().manual_seed(1), how="permute")
    before = sorted(zip(expression.tolist(), lighting.tolist(), strict=True))
    assert sorted(zip(new_e.tolist(), new_l.tolist(), strict=True)) == before


@pytest.mark.parametrize("how", ["uniform", "permute"])
def test_targets_repeat_with_the_seed(how: str) -> None:
    labels = torch.arange(30) % 3
    draws = [
        sample_targets(SCHEMA, labels, labels, torch.Generator().manual_seed(seed), how=how)  # type: ignore[arg-type]
        for seed in (5, 5, 6)
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(draws[0], draws[2], strict=True))
