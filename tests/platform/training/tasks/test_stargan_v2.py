import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from legan.models.stargan_v2 import StarGanV2Discriminator
from legan.platform.config import KINDS, check_settings, read_section
from legan.platform.data.dataset import open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import Problem
from legan.platform.model import read_model, weights_hash
from legan.platform.rival_settings import StarGanV2LossSettings
from legan.platform.training.checks import Inputs, check
from legan.platform.training.lifecycle import build_task
from legan.platform.training.loop import Listener, load_for_export, train
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks import stargan_v2
from legan.platform.training.tasks.stargan_v2 import StarGanV2Task, d_objective

SIZES = {"width": 8, "max_width": 12, "style": 4, "latent": 3, "hidden": 6}


def make_task(data: Path, ranks: Ranks | None = None, **values) -> StarGanV2Task:
    given = {"data": data, "steps": 4, "batch_size": 4, "flip": True, "network": SIZES} | values
    settings, problems = check_settings(KINDS["stargan_v2"], given)
    assert settings is not None, problems
    task = build_task(settings, ranks or Ranks(), Inputs())
    assert isinstance(task, StarGanV2Task)
    return task


def normalise_double(images: Tensor, channels_last: bool) -> Tensor:
    return images.double() / 127.5 - 1


def doubled(task: StarGanV2Task) -> StarGanV2Task:
    for network in task.networks.values():
        network.double()
    return task


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def published_step(networks: list[nn.Module], adams: list[torch.optim.Adam], batch: dict[str, Tensor], lambda_ds: float) -> None:
    """One iteration as StarGAN-v2's program does it: four objectives, nothing computed once for two of them."""
    G, mapping, E, D = networks
    x, y_org, y_trg = batch["x"].double() / 127.5 - 1, batch["y_org"], batch["y_trg"]
    z1, z2 = batch["z"].double().chunk(2)
    ref1, ref2 = (batch["ref"].double() / 127.5 - 1).chunk(2)

    def zero() -> None:
        for optimiser in adams:
            optimiser.zero_grad()

    def d_step(style) -> None:
        real = x.clone().requires_grad_()
        logits = D(real, y_org)
        gradient = torch.autograd.grad(logits.sum(), real, create_graph=True)[0]
        r1 = 0.5 * gradient.pow(2).sum((1, 2, 3)).mean()
        with torch.no_grad():
            fake = G(x, style())
        zero()
        (bce(logits, 1) + bce(D(fake, y_trg), 0) + r1).backward()
        adams[3].step()

    def g_step(style, other, stepping) -> None:
        s = style()
        fake = G(x, s)
        different = G(x, other()).detach()
        total = bce(D(fake, y_trg), 1) + (E(fake, y_trg) - s).abs().mean()
        total = total - lambda_ds * (fake - different).abs().mean() + (G(fake, E(x, y_org)) - x).abs().mean()
        zero()
        total.backward()
        for optimiser in stepping:
            optimiser.step()

    d_step(lambda: mapping(z1, y_trg))
    d_step(lambda: E(ref1, y_trg))
    g_step(lambda: mapping(z1, y_trg), lambda: mapping(z2, y_trg), adams[:3])
    g_step(lambda: E(ref1, y_trg), lambda: E(ref2, y_trg), adams[:1])


def test_step_equals_the_published_one(tiny_data, monkeypatch):
    """In float64, as rounding moves flat areas over the kinks of LeakyReLU and L1."""
    monkeypatch.setattr("legan.platform.training.tasks.stargan_v2.normalise", normalise_double)
    task = doubled(make_task(tiny_data, loss={"lambda_ds": 2.0}))
    names = ("generator", "mapping", "style_encoder", "discriminator")
    networks = [copy.deepcopy(task.networks[name]) for name in names]
    adams = [
        torch.optim.Adam(network.parameters(), lr=1e-6 if name == "mapping" else 1e-4, betas=(0.0, 0.99), weight_decay=1e-4)
        for name, network in zip(names, networks, strict=True)
    ]
    start = copy.deepcopy(task.average)
    averages = [start.generator, start.mapping]
    for step in range(2):
        batch = task.batch(step)
        published_step(networks, adams, dict(batch), 2.0 * (1 - step / 4))
        task.step({**batch, "z": batch["z"].double()}, step)
        for average, network in zip(averages, networks, strict=False):
            for a, p in zip(average.parameters(), network.parameters(), strict=True):
                a.data = torch.lerp(p.data, a.data, 0.999)
    for name, network in zip(names, networks, strict=True):
        for ours, theirs in zip(task.networks[name].parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
    for ours, theirs in zip(task.average.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert not torch.equal(task.average.generator.to_rgb.weight, task.G.to_rgb.weight)


def test_totals_are_the_weighted_sums_of_their_terms(tiny_data):
    weights = {"lambda_r1": 2.0, "lambda_sty": 3.0, "lambda_ds": 4.0, "lambda_cyc": 5.0}
    task = make_task(tiny_data, loss=weights)
    for step, share in ((0, 1.0), (3, 0.25)):  # diversity falls to 0 at the 4th step's end
        terms = {name.removeprefix("loss/"): float(value) for name, value in task.step(task.batch(step), step).items()}
        assert terms["d_total"] == pytest.approx(terms["d_real"] + terms["d_fake"] + 2 * terms["r1"], rel=1e-5)
        g_total = terms["g_adv"] + 3 * terms["style"] - 4 * share * terms["diversity"] + 5 * terms["rec"]
        assert terms["g_total"] == pytest.approx(g_total, rel=1e-4)


@pytest.mark.parametrize(
    ("weight", "term"), [("lambda_r1", "r1"), ("lambda_sty", "style"), ("lambda_ds", "diversity"), ("lambda_cyc", "rec")]
)
def test_a_weight_of_zero_leaves_the_term_out(tiny_data, weight, term):
    every = {"d_real", "r1", "d_fake", "d_total", "g_adv", "style", "diversity", "rec", "g_total"}
    task = make_task(tiny_data, loss={weight: 0})
    assert set(task.step(task.batch(0), 0)) == {f"loss/{name}" for name in every - {term}}


def test_r1_of_the_objective_is_its_finite_difference():
    torch.manual_seed(0)
    D, x, y = StarGanV2Discriminator(3, 32, 8, 12).double(), torch.rand(2, 3, 32, 32).double() * 2 - 1, torch.tensor([2, 0])
    _, terms = d_objective(D, x, y, x, y, StarGanV2LossSettings())
    squared = [
        torch.autograd.functional.jacobian(lambda one, i=i: D(one, y[i : i + 1]), x[i : i + 1]).square().sum() for i in (0, 1)
    ]
    assert float(terms["r1"].detach()) == pytest.approx(float(sum(squared)) / 4, rel=1e-9)
    weight = D.trunk[1].conv0.weight
    (slope,) = torch.autograd.grad(terms["r1"], weight)
    values = []
    for change in (1e-5, -2e-5):
        with torch.no_grad():
            weight[0, 0, 1, 1] += change
        values.append(float(d_objective(D, x, y, x, y, StarGanV2LossSettings())[1]["r1"].detach()))
    assert float(slope[0, 0, 1, 1]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-3)


@pytest.mark.parametrize("flip", [True, False])
def test_references_show_the_target_domain(tiny_data, flip):
    task, data = make_task(tiny_data, flip=flip), open_dataset(tiny_data)
    assert bool(task.pool.mirrored.any()) == flip
    for step in range(3):
        batch = task.batch(step)
        for ref, y in zip(batch["ref"], batch["y_trg"].repeat(2), strict=True):
            pixels = ref.permute(1, 2, 0).numpy()
            same = [row for row in data.rows("train") if (data.images[row] == pixels).all()]
            turned = [row for row in data.rows("train") if (data.images[row][:, ::-1] == pixels).all()]
            swap = {0: 1, 1: 0, 2: 2, 3: 3}  # left and right
            domains = {data.expression[row] * 4 + data.lighting[row] for row in same}
            domains |= {data.expression[row] * 4 + swap[int(data.lighting[row])] for row in turned}
            assert int(y) in domains


def test_only_domains_that_occur_are_targets(tiny_data):
    task = make_task(tiny_data, batch_size=64)
    assert set(task.batch(0)["y_trg"].tolist()) == set(range(12))
    pool = type(task.pool)(task.rows[:1], task.expression, task.lighting, 4, None)
    row = int(task.rows[0])
    assert pool.domains.tolist() == [int(task.expression[row]) * 4 + int(task.lighting[row])]


def test_workers_share_one_global_batch(tiny_data):
    whole = make_task(tiny_data, shift=2).batch(2)
    parts = [make_task(tiny_data, Ranks(rank, 2), shift=2).batch(2) for rank in range(2)]
    for name, twice in (("x", 1), ("y_org", 1), ("y_trg", 1), ("z", 2), ("ref", 2)):
        together = torch.cat([part[name].view(twice, 2, *part[name].shape[1:]) for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(together, whole[name]), name


def rank_gradients(rank: int, data_path: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    stargan_v2.normalise = normalise_double
    torch.save(gradients(Path(data_path), Ranks(rank, 2)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def gradients(data: Path, ranks: Ranks) -> dict[str, list[Tensor]]:
    """Of the first step's last update of each network, in float64, with learning rates too small to matter."""
    task = doubled(make_task(data, ranks, adam={"learning_rate": 1e-15}, mapping_learning_rate=1e-15))
    batch = task.batch(0)
    task.step({**batch, "z": batch["z"].double()}, 0)
    return {name: [p.grad for p in network.parameters()] for name, network in task.networks.items() if name != "average"}


def test_two_workers_have_the_gradients_of_one(tiny_data, tmp_path, monkeypatch):
    script = "import runpy, sys; runpy.run_path(sys.argv[1])['rank_gradients'](int(sys.argv[2]), *sys.argv[3:])"
    command = [sys.executable, "-c", script, __file__]
    ranks = [subprocess.Popen([*command, str(rank), str(tiny_data), str(tmp_path)]) for rank in range(2)]
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    monkeypatch.setattr(stargan_v2, "normalise", normalise_double)
    expected = gradients(tiny_data, Ranks())
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, of_one in expected.items():
        for gradient, a, b in zip(of_one, first[name], second[name], strict=True):
            assert torch.equal(a, b), name
            torch.testing.assert_close(a, gradient, rtol=1e-6, atol=1e-9)


def test_a_few_steps_lower_the_loss_on_one_batch(tiny_data):
    task = make_task(tiny_data, steps=25, loss={"lambda_ds": 0}, adam={"learning_rate": 0.004}, mapping_learning_rate=0.0001)
    batch = task.batch(0)
    terms = [task.step(batch, step) for step in range(25)]
    for name in ("loss/rec", "loss/style"):
        first, last = (float(torch.stack([each[name] for each in some]).mean()) for some in (terms[:5], terms[-5:]))
        assert last < 0.6 * first, name


def test_bf16_follows_fp32(tiny_data):
    exact, rounded = make_task(tiny_data), make_task(tiny_data, precision="bf16")
    for step in range(2):
        a, b = exact.step(exact.batch(step), step), rounded.step(rounded.batch(step), step)
    for name in ("loss/d_total", "loss/rec", "loss/style", "loss/r1"):
        assert float(b[name]) == pytest.approx(float(a[name]), rel=0.05)


def test_a_checkpoint_continues_bit_for_bit_and_exports_the_average(tiny_data, tmp_path):
    whole, rest = make_task(tiny_data, checkpoint_every=2, keep_last=9), make_task(tiny_data)
    train(whole, whole.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    expected = {name: weights_hash(network) for name, network in whole.networks.items()}
    last = tmp_path / "parts" / "step-00000004"
    last.rename(tmp_path / "last")
    train(rest, rest.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    assert {name: weights_hash(network) for name, network in rest.networks.items()} == expected
    fresh = make_task(tiny_data)
    assert load_for_export(fresh, tmp_path / "parts") == 4
    fresh.export(tmp_path / "model", {"run": "r"})
    assert weights_hash(read_model(tmp_path / "model").generator) == expected["average"]


def test_samples_and_validation(tiny_data):
    task = make_task(tiny_data)
    assert set(task.samples()) == {"samples/translation"}
    assert task.goal.metric == "val/l1_to_target"
    assert 0 < task.validate()[task.goal.metric] < 2


def test_image_sizes_that_cannot_be_halved_are_refused(tiny_data, tmp_path):
    data = open_dataset(tiny_data)
    images = np.pad(data.images, ((0, 0), (8, 8), (8, 8), (0, 0)))
    hulls = np.pad(data.hulls(np.arange(len(data))), ((0, 0), (8, 8), (8, 8)))
    write_dataset(
        tmp_path / "48", name="48", schema=data.schema, faces=data.faces, images=images, hulls=hulls, source="padded"
    )  # fmt: skip
    settings, _ = check_settings(KINDS["stargan_v2"], {"data": tmp_path / "48", "steps": 1})
    message = "the image size 48 has to be 32, 64, 128 and so on (StarGAN-v2's halvings)"
    assert check(settings, Inputs()).problems == [Problem("data", message)]


def test_preset_paper_holds_the_published_numbers():
    settings, problems = check_settings(KINDS["stargan_v2"], read_section("paper", "stargan_v2"))
    assert settings is not None, problems
    assert settings.loss == StarGanV2LossSettings(lambda_r1=1, lambda_sty=1, lambda_ds=1, lambda_cyc=1)
    adam = settings.adam
    assert (adam.learning_rate, adam.beta1, adam.beta2, adam.weight_decay) == (1e-4, 0, 0.99, 1e-4)
    assert (settings.mapping_learning_rate, settings.average_decay) == (1e-6, 0.999)
    assert (settings.batch_size, settings.steps) == (8, 100_000)
