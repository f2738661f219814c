import copy
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn

from legan.models import stargan
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.norm import InstanceNorm
from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.data.variants.stored import make_variants
from legan.platform.data.variants.white_balance import white_balanced
from legan.platform.model import read_model
from legan.platform.pixels import to_tensor
from legan.platform.settings import LeganSettings, TranslatorSettings
from legan.platform.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from legan.platform.training.colours import colour_variants
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks.legan_stargan import Critics, LeganTask

REPOSITORY = Path(__file__).parents[4]


def frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def make_task(data_path: Path, ranks: Ranks | None = None, *, rival: bool = False, **values) -> LeganTask:
    given = {"data": data_path, "steps": 4, "batch_size": 4, "identity": "t", "quality": "q", "flip": True}
    settings = LeganSettings.model_validate(given | values)
    data = open_dataset(data_path)
    torch.manual_seed(0)
    T, Q = frozen(LightCNN(9, 4, image_size=32, width=0.125, features=16)), frozen(QualityModel(32, width=8, layers=3, hidden=8))
    disentangled = settings.generator.disentangled
    G = (
        stargan.StarGanGenerator(3, 4, width=8, blocks=1)
        if rival
        else Generator(3, 4, width=8, blocks=1, disentangled=disentangled)
    )
    D = Discriminator(7, 32, width=8, layers=3)
    ranks = ranks or Ranks()
    return LeganTask(settings, data, Critics(T.to(ranks.device), Q.to(ranks.device)), ranks, G, D)


def test_step_equals_the_straightforward_one(tiny_data, doubles):
    straightforward_step = runpy.run_path(str(REPOSITORY / "benchmarks" / "straightforward.py"))["straightforward_step"]
    task = in_double_precision(make_task(tiny_data))
    G, D, T, Q = (copy.deepcopy(network) for network in (task.G, task.D, *task.critics))
    g_adam, d_adam = (torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999)) for network in (G, D))
    for step in range(2):
        batch = task.batch(step)
        terms = task.step(batch, step)
        _, g_total = straightforward_step(G, D, T, Q, g_adam, d_adam, batch, task.settings.loss, 5)
        assert float(terms["loss/g_total"]) == pytest.approx(float(g_total), rel=1e-6)
    for ours, theirs in ((task.g_adam, g_adam), (task.d_adam, d_adam)):
        for key, state in theirs.state_dict()["state"].items():
            mean = ours.state_dict()["state"][key]["exp_avg"]
            assert float((mean - state["exp_avg"]).abs().max() / state["exp_avg"].abs().max()) < 1e-4


@pytest.mark.parametrize("term", ["lambda_adv", "lambda_1", "lambda_2", "lambda_3", "lambda_4", "lambda_5", "lambda_gp"])
def test_a_weight_of_zero_leaves_the_term_out(tiny_data, term):
    names = {
        "lambda_adv": {"d_adv", "g_adv", "gp"}, "lambda_1": {"d_cls", "g_cls"}, "lambda_2": {"rec"}, "lambda_3": {"id"},
        "lambda_4": {"qual", "quality_fake", "quality_source", "share_above_q"}, "lambda_5": {"tv"}, "lambda_gp": {"gp"},
    }  # fmt: skip
    every = set(make_task(tiny_data).step(make_task(tiny_data).batch(0), 0))
    task = make_task(tiny_data, loss={term: 0})
    assert every - set(task.step(task.batch(0), 0)) == {f"loss/{name}" for name in names[term]}


@pytest.mark.parametrize(("term", "name"), [("lambda_adv", "adv"), ("lambda_1", "cls")])
def test_a_term_is_taken_from_g_alone(tiny_data, term, name):
    """Table 11 as its text has it: D keeps its own terms, and moves as in LEGAN."""
    whole, without = make_task(tiny_data), make_task(tiny_data, loss={f"{term}_g": 0})
    before, after = whole.step(whole.batch(0), 0), without.step(without.batch(0), 0)
    assert set(before) - set(after) == {f"loss/g_{name}"}
    assert torch.equal(before[f"loss/d_{name}"], after[f"loss/d_{name}"])
    for ours, theirs in zip(whole.D.parameters(), without.D.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_term_of_g_has_a_weight_of_its_own(tiny_data):
    task = make_task(tiny_data, loss={"lambda_adv_g": 3, "lambda_1_g": 2})
    terms = {name.removeprefix("loss/"): float(value) for name, value in task.step(task.batch(0), 0).items()}
    g_total = (
        3 * terms["g_adv"] + 2 * terms["g_cls"] + 10 * terms["rec"] + 10 * terms["id"] + 0.5 * terms["qual"] + 1e-7 * terms["tv"]
    )
    assert terms["g_total"] == pytest.approx(g_total, rel=1e-5)


def test_d_has_a_learning_rate_of_its_own(tiny_data):
    task = make_task(tiny_data, d_learning_rate=3e-4, adam={"learning_rate": 1e-4, "decay_from": 0.5})
    task.step(task.batch(3), 3)
    assert (task.g_adam.param_groups[0]["lr"], task.d_adam.param_groups[0]["lr"]) == pytest.approx((0.5e-4, 1.5e-4))


def test_the_moving_average_is_what_is_shown_and_kept(tiny_data, tmp_path):
    task = make_task(tiny_data, average_decay=0.5)
    expected = copy.deepcopy(task.G.state_dict())
    for step in range(3):
        task.step(task.batch(step), step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * value + (1 - decay) * task.G.state_dict()[name] for name, value in expected.items()}
    for name, value in task.networks["average"].state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert task.translator is task.networks["average"]
    task.export(tmp_path / "model", {})
    for name, value in read_model(tmp_path / "model").generator.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_totals_are_the_weighted_sums_of_their_terms(tiny_data):
    task = make_task(tiny_data)
    terms = {name.removeprefix("loss/"): float(value) for name, value in task.step(task.batch(0), 0).items()}
    g_total = (
        terms["g_adv"] + 20 * terms["g_cls"] + 10 * terms["rec"] + 10 * terms["id"] + 0.5 * terms["qual"] + 1e-7 * terms["tv"]
    )
    assert terms["g_total"] == pytest.approx(g_total, rel=1e-5)
    assert terms["d_total"] == pytest.approx(terms["d_adv"] + 10 * terms["gp"] + 20 * terms["d_cls"], rel=1e-5)


def test_one_hourglass_trains_too(tiny_data):
    task = make_task(tiny_data, generator={"disentangled": False})
    assert torch.isfinite(task.step(task.batch(0), 0)["loss/g_total"])
    assert set(task.samples()) == {"samples/translation"}


def in_double_precision(task: LeganTask) -> LeganTask:
    """In float32 rounding moves flat areas over the kinks of ReLU and L1, and gradients differ by percents."""
    for network in (task.G, task.D, *task.critics):
        network.double()
    batch = task.batch
    task.batch = lambda step: {k: v.double() if v.is_floating_point() else v for k, v in batch(step).items()}
    return task


def take(task: LeganTask, steps: int) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in task.step(task.batch(step), step).items()} for step in range(steps)]


@pytest.fixture
def doubles(monkeypatch):
    monkeypatch.setattr("legan.platform.training.tasks.legan_stargan.normalise", lambda images, _: images.double() / 127.5 - 1)


@pytest.mark.parametrize("settings", [{}, {"channels_last": False}, {"compile": True}])
def test_a_gpu_trains_as_the_processor_does(tiny_data, gpu, doubles, settings):
    """Over steps that run as they are written, one that is recorded and some that are replayed."""
    given = {"steps": 6, "loss": {"self_rec": 0.5}}
    here = in_double_precision(make_task(tiny_data, **given))
    there = in_double_precision(make_task(tiny_data, Ranks(device=gpu), **given, **settings))
    assert take(there, 6) == [pytest.approx(terms, rel=1e-5) for terms in take(here, 6)]
    for name, network in here.networks.items():
        for one, other in zip(network.parameters(), there.networks[name].parameters(), strict=True):
            assert float((other.grad.cpu() - one.grad).norm()) < 1e-5 * (float(one.grad.norm()) + 1e-6), name


def test_a_step_sees_images_white_balanced_as_they_were_drawn(tiny_data, tmp_path):
    data = open_dataset(shutil.copytree(tiny_data, tmp_path / "faces"))
    make_variants(data, colour_variants(TranslatorSettings(steps=1, white_balance=("tungsten", "shade")), data))
    plain = make_task(data.path, flip=False).batch(0)["x"]
    given = {"white_balance": ["tungsten", "shade"], "colour_shares": {"white_balanced": 2}}
    seen = make_task(data.path, flip=False, **given).batch(0)["x"]
    variants = [plain, *(to_tensor(white_balanced(plain.permute(0, 2, 3, 1).numpy(), name)) for name in ("tungsten", "shade"))]
    found = [[torch.equal(image, variant[i]) for variant in variants].index(True) for i, image in enumerate(seen)]
    assert set(found) == {0, 1, 2}


def test_workers_draw_the_variants_that_one_process_draws(tiny_data, tmp_path):
    data = open_dataset(shutil.copytree(tiny_data, tmp_path / "faces"))
    make_variants(data, colour_variants(TranslatorSettings(steps=1, white_balance=("tungsten", "shade")), data))
    given = {"white_balance": ["tungsten", "shade"], "critic_steps": 1}
    alone = make_task(data.path, **given).batch(3)["x"]
    shared = [make_task(data.path, Ranks(rank, 2), **given).batch(3)["x"] for rank in range(2)]
    assert torch.equal(torch.cat(shared), alone)


@pytest.mark.long
def test_compiled_norms_train_as_written_ones_do(tiny_data, doubles):
    written = in_double_precision(make_task(tiny_data, steps=3))
    fused = in_double_precision(make_task(tiny_data, steps=3, compile=True))
    assert take(fused, 3) == [pytest.approx(terms, rel=1e-5) for terms in take(written, 3)]
    assert all(module.fused for module in fused.G.modules() if isinstance(module, InstanceNorm))


def test_bf16_on_a_gpu_follows_fp32(tiny_data, gpu):
    bf16_follows_fp32(tiny_data, Ranks(device=gpu))


def test_bf16_follows_fp32(tiny_data):
    bf16_follows_fp32(tiny_data, Ranks())


def bf16_follows_fp32(tiny_data, ranks):
    exact, rounded = make_task(tiny_data, ranks), make_task(tiny_data, ranks, precision="bf16")
    for step in range(3):
        a, b = exact.step(exact.batch(step), step), rounded.step(rounded.batch(step), step)
    for name in ("loss/d_total", "loss/g_total", "loss/rec", "loss/qual"):
        assert float(b[name]) == pytest.approx(float(a[name]), rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in rounded.G.parameters())


def test_bf16_sees_each_critic_update(tiny_data):
    """Autocast keeps bf16 copies of weights; a region over several updates would train each on the first one's weights."""

    def loss(precision: str, rate: float) -> float:
        task = make_task(tiny_data, precision=precision, adam={"learning_rate": rate, "beta1": 0.0})
        return float(task.step(task.batch(0), 0)["loss/d_cls"])

    exact, still = loss("fp32", 0.005), loss("fp32", 1e-9)
    assert still - exact > 0.01
    assert loss("bf16", 0.005) == pytest.approx(exact, abs=0.001)


def test_mirrored_images_have_mirrored_lights(tiny_data):
    task = make_task(tiny_data)
    plain = make_task(tiny_data, flip=False)
    a, b = task.batch(0), plain.batch(0)
    mirrored = [i for i in range(20) if not torch.equal(a["x"][i], b["x"][i])]
    assert mirrored
    left, right = 3 + 0, 3 + 1
    for i in mirrored:
        assert torch.equal(a["x"][i].flip(2), b["x"][i])
        swapped = b["f_org"][i].clone()
        swapped[[left, right]] = swapped[[right, left]]
        assert torch.equal(a["f_org"][i], swapped)


def test_shifted_images_take_their_hulls_along(tiny_data):
    task = make_task(tiny_data, flip=False, shift=4)
    plain, moved = make_task(tiny_data, flip=False).batch(0), task.batch(0)
    found = []
    for i in range(4):
        before = torch.cat([plain["x"][-4:][i], plain["hull"][i]])[:, 8:24, 8:24]
        after = torch.cat([moved["x"][-4:][i], moved["hull"][i]])
        offsets = [(y, x) for y in range(-4, 5) for x in range(-4, 5)]
        found += [[(y, x) for y, x in offsets if torch.equal(after[:, 8 + y : 24 + y, 8 + x : 24 + x], before)]]
    assert all(found)
    assert len({places[0] for places in found}) > 1
    assert torch.equal(plain["f_trg"], moved["f_trg"])


def test_images_that_are_their_own_source_are_reconstructed_from_themselves(tiny_data):
    task = make_task(tiny_data, critic_steps=1, loss={"self_rec": 1.0})
    batch = task.batch(0)
    assert bool(batch["own"].all())
    x = batch["x"].float() / 127.5 - 1
    with torch.no_grad():
        expected = float((task.G(x, batch["f_org"]).image - x).abs().mean())
        cycle = float((task.G(task.G(x, batch["f_trg"]).image, batch["f_org"]).image - x).abs().mean())
    assert float(task.step(batch, 0)["loss/rec"]) == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(cycle, rel=1e-3)
    assert not bool(make_task(tiny_data).batch(0)["own"].any())
    drawn = torch.cat([make_task(tiny_data, loss={"self_rec": 0.5}).batch(step)["own"] for step in range(50)])
    assert 60 < int(drawn.sum()) < 140


@pytest.mark.parametrize("shift", [0, 3])
def test_workers_share_one_global_batch(tiny_data, shift):
    whole = make_task(tiny_data, shift=shift, loss={"self_rec": 0.5}).batch(2)
    parts = [make_task(tiny_data, Ranks(rank, 2), shift=shift, loss={"self_rec": 0.5}).batch(2) for rank in range(2)]
    for name in ("x", "f_org", "f_trg", "alpha"):
        together = torch.cat([part[name].view(5, 2, *part[name].shape[1:]) for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(together, whole[name])
    assert torch.equal(torch.cat([part["hull"] for part in parts]), whole["hull"])
    assert torch.equal(torch.cat([part["own"] for part in parts]), whole["own"])


def rank_gradients(rank: int, data_path: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    for rival in (False, True):
        task = make_task(Path(data_path), Ranks(rank, 2), rival=rival, critic_steps=1, adam={"learning_rate": 1e-12})
        task.step(task.batch(0), 0)
        gradients = {name: [p.grad for p in network.parameters()] for name, network in task.networks.items()}
        torch.save(gradients, f"{folder}/rank{rank}{rival}.pt")
    dist.destroy_process_group()


def test_two_workers_have_the_gradients_of_one(tiny_data, tmp_path):
    script = "import runpy, sys; runpy.run_path(sys.argv[1])['rank_gradients'](int(sys.argv[2]), *sys.argv[3:])"
    command = [sys.executable, "-c", script, __file__]
    ranks = [subprocess.Popen([*command, str(rank), str(tiny_data), str(tmp_path)]) for rank in range(2)]
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    for rival in (False, True):  # StarGAN
        task = make_task(tiny_data, rival=rival, critic_steps=1, adam={"learning_rate": 1e-12})
        task.step(task.batch(0), 0)
        first, second = (torch.load(tmp_path / f"rank{rank}{rival}.pt", weights_only=True) for rank in range(2))
        for name, network in task.networks.items():
            for parameter, a, b in zip(network.parameters(), first[name], second[name], strict=True):
                assert torch.equal(a, b)
                scale = float(parameter.grad.abs().max()) + 1e-12
                assert float((a - parameter.grad).abs().max()) / scale < 1e-4, (name, rival)


def test_a_checkpoint_continues_on_a_gpu(tiny_data, tmp_path, gpu, doubles):
    """Kernels there add in no fixed order, so the weights are not the same to the bit."""
    whole, first, rest = (in_double_precision(make_task(tiny_data, Ranks(device=gpu), steps=6)) for _ in range(3))
    take(whole, 6)
    take(first, 3)
    save_checkpoint(tmp_path, 3, first.networks, first.state_dict(), {})
    rest.load_state_dict(load_checkpoint(list_checkpoints(tmp_path)[-1], rest.networks))
    for step in range(3, 6):
        rest.step(rest.batch(step), step)
    for name, network in whole.networks.items():
        for one, other in zip(network.parameters(), rest.networks[name].parameters(), strict=True):
            assert float((one - other).detach().norm()) < 1e-5 * (float(one.detach().norm()) + 1e-3), name


def test_a_checkpoint_continues_bit_for_bit(tiny_data, tmp_path):
    from legan.platform.training.loop import Listener, train

    whole, first, rest = make_task(tiny_data), make_task(tiny_data, steps=2), make_task(tiny_data)
    train(whole, whole.settings, tmp_path / "whole", Ranks(), Listener(None, str))
    train(first, first.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    train(rest, rest.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    for name in ("G", "D"):
        for a, b in zip(getattr(whole, name).parameters(), getattr(rest, name).parameters(), strict=True):
            assert torch.equal(a, b)


def test_samples_show_input_translations_and_masks(tiny_data):
    grids = make_task(tiny_data).samples()
    assert set(grids) == {"samples/translation", "samples/expression_mask", "samples/lighting_mask"}
    assert all(grid.ndim == 3 and grid.shape[2] == 3 for grid in grids.values())


def test_validation_measures_the_distance_to_the_true_target(tiny_data):
    task = make_task(tiny_data)
    value = task.validate()[task.goal.metric]
    assert task.goal.metric == "val/l1_to_target"
    assert 0 < value < 2
