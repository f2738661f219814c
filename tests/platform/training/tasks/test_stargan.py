"""StarGAN is LEGAN's task with another generator: what differs, and that the whole trains. Two workers: test_legan.py."""

from pathlib import Path

import pytest
import torch

from legan.models import stargan
from legan.models.quality import QualityModel
from legan.platform.config import KINDS, check_settings, read_section
from legan.platform.model import load_network, read_model, save_network, weights_hash
from legan.platform.training.checks import Inputs
from legan.platform.training.lifecycle import build_task
from legan.platform.training.loop import Listener, train
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks.legan_stargan import LeganTask

QUALITY = {"image_size": 32, "width": 8, "layers": 3, "hidden": 8}


def make_task(data: Path, ranks: Ranks | None = None, **values) -> LeganTask:
    given = {
        "data": data, "steps": 4, "batch_size": 4, "flip": True,
        "generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 8, "layers": 3},
    } | values  # fmt: skip
    settings, problems = check_settings(KINDS["stargan"], given)
    assert settings is not None, problems
    task = build_task(settings, ranks or Ranks(), Inputs())
    assert isinstance(task, LeganTask)
    return task


@pytest.fixture(scope="module")
def quality(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Q") / "Q"
    torch.manual_seed(1)
    save_network(folder, "quality", QUALITY, QualityModel(**QUALITY))
    return folder


def test_networks_are_stargans(tiny_data):
    task = make_task(tiny_data)
    assert isinstance(task.G, stargan.StarGanGenerator)
    assert task.D.cls.kernel_size == (4, 4)  # as large as the map
    assert task.settings.adam.decay_from == 0.5


def test_the_totals_are_stargans(tiny_data):
    task = make_task(tiny_data)
    terms = {name.removeprefix("loss/"): float(value) for name, value in task.step(task.batch(0), 0).items()}
    assert set(terms) == {"d_adv", "gp", "d_cls", "d_total", "g_adv", "g_cls", "rec", "g_total"}
    assert terms["d_total"] == pytest.approx(terms["d_adv"] + 10 * terms["gp"] + terms["d_cls"], rel=1e-5)
    assert terms["g_total"] == pytest.approx(terms["g_adv"] + terms["g_cls"] + 10 * terms["rec"], rel=1e-5)
    assert terms["d_cls"] > 7 * 0.3  # a sum over the 7 logits, each near ln 2, not their mean


def test_with_lqual_it_has_lqual_and_exports_q(tiny_data, tmp_path, quality):
    task = make_task(tiny_data, quality=quality, loss={"lambda_4": 0.5, "q": 7.0})
    terms = {name.removeprefix("loss/"): float(value) for name, value in task.step(task.batch(0), 0).items()}
    assert terms["g_total"] == pytest.approx(terms["g_adv"] + terms["g_cls"] + 10 * terms["rec"] + 0.5 * terms["qual"], rel=1e-5)
    task.export(tmp_path / "model", {"run": "r"})
    model = read_model(tmp_path / "model")
    assert weights_hash(model.generator) == weights_hash(task.G)
    assert weights_hash(model.quality) == weights_hash(load_network(quality).module)


def test_a_few_steps_lower_the_loss_on_one_batch(tiny_data):
    task = make_task(tiny_data, steps=40, loss={"lambda_adv": 0}, adam={"learning_rate": 0.002}, critic_steps=1)
    batch = task.batch(0)
    first, *_, last = (float(task.step(batch, step)["loss/g_total"]) for step in range(40))
    assert last < 0.6 * first


def test_samples_have_no_masks(tiny_data):
    task = make_task(tiny_data)
    assert set(task.samples()) == {"samples/translation"}
    assert 0 < task.validate()[task.goal.metric] < 2


def test_a_checkpoint_continues_bit_for_bit(tiny_data, tmp_path):
    whole, first, rest = make_task(tiny_data), make_task(tiny_data, steps=2, adam={"decay_from": 1}), make_task(tiny_data)
    train(whole, whole.settings, tmp_path / "whole", Ranks(), Listener(None, str))
    train(first, first.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    train(rest, rest.settings, tmp_path / "parts", Ranks(), Listener(None, str))
    assert [weights_hash(network) for network in whole.networks.values()] == [
        weights_hash(network) for network in rest.networks.values()
    ]


def test_preset_paper_holds_stargans_published_numbers():
    settings, problems = check_settings(KINDS["stargan"], read_section("paper", "stargan"))
    assert settings is not None, problems
    loss = settings.loss
    assert (loss.lambda_1, loss.lambda_2, loss.lambda_gp, loss.lambda_4, loss.classification) == (1, 10, 10, 0, "bce_sum")
    assert (settings.batch_size, settings.critic_steps, settings.adam.learning_rate) == (16, 5, 1e-4)
    assert (settings.adam.beta1, settings.adam.beta2) == (0.5, 0.999)
    assert (settings.generator.width, settings.generator.blocks) == (64, 6)
