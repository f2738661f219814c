import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from legan.models.attributes import AttributeSchema
from legan.models.recolor import ColorizationGenerator, greyed
from legan.platform.config import KINDS, check_settings, read_section
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.evaluation.metrics import structural_similarity
from legan.platform.model import load_network
from legan.platform.pixels import normalise, to_tensor
from legan.platform.training.checks import Inputs, check
from legan.platform.training.lifecycle import build_task
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks import recolor
from legan.platform.training.tasks.recolor import RecolorTask, chroma, recolor_task

SIZES = {"generator": {"width": 4}, "discriminator": {"width": 4}}


def make_task(data: Path, ranks: Ranks | None = None, **values) -> RecolorTask:
    settings, problems = check_settings(KINDS["recolor"], {"data": data, "steps": 4, "batch_size": 4, **SIZES} | values)
    assert settings is not None, problems
    task = build_task(settings, ranks or Ranks(), Inputs())
    assert isinstance(task, RecolorTask)
    return task


def on(data: Dataset, **values) -> RecolorTask:
    settings, problems = check_settings(KINDS["recolor"], {"steps": 4, "batch_size": 4, **SIZES} | values)
    assert settings is not None, problems
    return recolor_task(settings, data, Ranks())


def problems_of(data: Path, **values) -> list[str]:
    settings, problems = check_settings(KINDS["recolor"], {"data": data, "steps": 1, **values})
    assert settings is not None, problems
    return [f"{problem.place}: {problem.message}" for problem in check(settings, Inputs()).problems]


def normalise_double(images: Tensor, channels_last: bool) -> Tensor:
    return images.double() / 127.5 - 1


def doubled(task: RecolorTask) -> RecolorTask:
    for network in task.networks.values():
        network.double()
    return task


def test_step_is_pix2pixs(tiny_data, monkeypatch):
    """In float64, against its program's two updates, with nothing computed once for both."""
    monkeypatch.setattr(recolor, "normalise", normalise_double)
    task = doubled(make_task(tiny_data, adam={"learning_rate": 1e-3}))
    G, D = copy.deepcopy(task.G), copy.deepcopy(task.D)
    of_g, of_d = (torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (G, D))

    def bce(logits: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    for step in range(2):
        batch = task.batch(step)
        x = normalise_double(batch["x"], channels_last=True)
        grey = greyed(x)
        fake = G(grey)
        of_d.zero_grad()
        ((bce(D(grey, fake.detach()), 0) + bce(D(grey, x), 1)) * 0.5).backward()
        of_d.step()
        of_g.zero_grad()
        (bce(D(grey, fake), 1) + 100 * (fake - x).abs().mean()).backward()
        of_g.step()
        task.step(batch, step)
        for mine, published in ((task.G, G), (task.D, D)):
            for a, b in zip(mine.parameters(), published.parameters(), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_without_its_weight_d_stays_as_it_is(tiny_data):
    task = make_task(tiny_data, loss={"lambda_adv": 0})
    before = copy.deepcopy(task.D.state_dict())
    terms = task.step(task.batch(0), 0)
    assert set(terms) == {"loss/l1", "loss/g_total"}
    assert float(terms["loss/g_total"]) == pytest.approx(100 * float(terms["loss/l1"]))
    assert all(torch.equal(before[name], values) for name, values in task.D.state_dict().items())


def test_workers_share_one_global_batch(tiny_data):
    many = {"batch_size": 16, "flip": True}
    whole = make_task(tiny_data, **many).batch(2)["x"]
    parts = [make_task(tiny_data, Ranks(rank, 2), **many).batch(2)["x"] for rank in range(2)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole, make_task(tiny_data, batch_size=16).batch(2)["x"]), "some are mirrored"


def rank_gradients(rank: int, data_path: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    recolor.normalise = normalise_double
    torch.save(gradients(Path(data_path), Ranks(rank, 2)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def gradients(data: Path, ranks: Ranks) -> dict[str, list[Tensor]]:
    """Of the first step's update of each network, in float64, with a learning rate too small to matter."""
    task = doubled(make_task(data, ranks, adam={"learning_rate": 1e-15}))
    task.step(task.batch(0), 0)
    return {name: [p.grad for p in network.parameters()] for name, network in task.networks.items()}


def test_two_workers_have_the_gradients_of_one(tiny_data, tmp_path, monkeypatch):
    script = "import runpy, sys; runpy.run_path(sys.argv[1])['rank_gradients'](int(sys.argv[2]), *sys.argv[3:])"
    command = [sys.executable, "-c", script, __file__]
    ranks = [subprocess.Popen([*command, str(rank), str(tiny_data), str(tmp_path)]) for rank in range(2)]
    assert [rank.wait(280) for rank in ranks] == [0, 0]
    monkeypatch.setattr(recolor, "normalise", normalise_double)
    expected = gradients(tiny_data, Ranks())
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, of_one in expected.items():
        for gradient, a, b in zip(of_one, first[name], second[name], strict=True):
            assert torch.equal(a, b), name
            torch.testing.assert_close(a, gradient, rtol=1e-6, atol=1e-9)


def test_it_learns_the_colours_of_its_images(tiny_data):
    task = make_task(tiny_data, steps=60, batch_size=8, generator={"width": 8}, adam={"learning_rate": 3e-3})
    batch = task.batch(0)
    before = task.validate()
    terms = [task.step(batch, step) for step in range(60)]
    first, last = (float(torch.stack([each["loss/l1"] for each in some]).mean()) for some in (terms[:5], terms[-5:]))
    assert last < 0.6 * first
    x = normalise(batch["x"])
    with torch.no_grad():
        output = task.G(greyed(x))
    assert 0.5 < chroma(output) / chroma(x) < 1.5
    after = task.validate()
    assert after["val/ssim_to_target"] > before["val/ssim_to_target"]
    assert after["val/luma_error"] < 0.7 * before["val/luma_error"]


class Copies(nn.Module):
    """What returns the grey image, or the same grey for all."""

    def __init__(self, times: float):
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x * self.times


def test_validation_measures_colours_brightness_and_chroma(tiny_data):
    task, data = make_task(tiny_data), open_dataset(tiny_data)
    task.G = Copies(1)
    x = normalise(to_tensor(data.images[data.rows("val")])).contiguous()
    grey = greyed(x)
    assert task.validate() == pytest.approx({
        "val/l1_to_target": float((grey - x).abs().mean()),
        "val/ssim_to_target": float(structural_similarity(grey, x).mean()),
        "val/luma_error": 0,
        "val/chroma_share": 0,
    }, abs=1e-5)  # fmt: skip
    (doubt,) = task.doubts()
    assert doubt == "G has collapsed: its outputs are grey (their chroma is 0.0% of the originals')"
    task.G = Copies(0)
    assert len(task.remarks()) == 2
    assert "does not depend on the face that it is shown (outputs differ by 0.0%" in task.remarks()[1]
    assert make_task(tiny_data, loss={"lambda_adv": 0}).goal.metric in task.validate()


def test_it_is_exported_as_a_network_that_says_what_it_learnt_from(tiny_data, tmp_path):
    task, data = make_task(tiny_data), open_dataset(tiny_data)
    task.step(task.batch(0), 0)
    task.export(tmp_path / "recolourer", {"run": "x"})
    stored = load_network(tmp_path / "recolourer", "colorization")
    assert (stored.info["data_hash"], stored.info["data"]["people"]) == (data.content_hash, 4)
    assert stored.info["people"] == list(data.people("train"))
    x = greyed(torch.rand(2, 3, 32, 32))
    assert isinstance(stored.module, ColorizationGenerator)
    torch.testing.assert_close(stored.module(x), task.G(x))


def test_pictures_show_held_out_images_grey_coloured_and_as_they_were(tiny_data):
    ((name, picture),) = make_task(tiny_data).samples().items()
    assert name == "samples/recoloured"
    assert picture.dtype == np.uint8
    assert picture.shape[0] > 6 * 96


def unlabelled(data: Path, out: Path, images: np.ndarray | None = None, splits: bool = True) -> Path:
    """The blobs without classes, and without held-out people."""
    whole = open_dataset(data)
    faces = whole.faces.drop(columns="duplicate_of").assign(expression="any", lighting="any")
    if not splits:
        faces = faces.assign(split="train")
    return write_dataset(
        out, name=out.name, schema=AttributeSchema(("any",), ("any",)), faces=pd.DataFrame(faces),
        images=whole.images[:] if images is None else images, hulls=whole.hulls(np.arange(len(whole))), source="drawn for tests",
    ).path  # fmt: skip


def test_images_without_labels_will_do_and_all_may_be_mirrored(tiny_data, tmp_path):
    data = unlabelled(tiny_data, tmp_path / "any", splits=False)
    assert problems_of(data, flip=True, **SIZES) == []
    task = make_task(data, flip=True)
    assert (task.validate(), len(task.rows)) == ({}, 72)
    assert task.samples()["samples/recoloured"].ndim == 3
    settings, _ = check_settings(KINDS["recolor"], {"data": data, "steps": 1, "flip": "auto"})
    facts = check(settings, Inputs())
    assert (facts.settings.flip, facts.notes, facts.problems) == (True, (), [])


def test_data_without_colours_or_of_an_odd_size_is_refused(tiny_data, tmp_path):
    images = open_dataset(tiny_data).images[:]
    grey = unlabelled(tiny_data, tmp_path / "grey", np.repeat(images[..., :1], 3, axis=3))
    assert problems_of(grey) == [
        f"data: the training images of {grey} are grey, and teach no colours; give photographs in colour"
    ]
    whole = open_dataset(tiny_data)
    odd = write_dataset(
        tmp_path / "odd", name="odd", schema=whole.schema, faces=whole.faces.drop(columns="duplicate_of"),
        images=np.zeros((len(whole), 48, 48, 3), np.uint8) + np.arange(3, dtype=np.uint8),
        hulls=np.ones((len(whole), 48, 48), bool), source="drawn for tests",
    ).path  # fmt: skip
    assert problems_of(odd) == [
        "data: the image size 48 has to be a multiple of 32 (Table 14's five halvings); make the data with another --size"
    ]


def test_settings_that_teach_nothing_are_refused(tiny_data):
    _, problems = check_settings(KINDS["recolor"], {"steps": 1, "loss": {"lambda_adv": 0, "lambda_l1": 0}})
    assert [problem.place for problem in problems] == ["loss.lambda_adv"]
    assert problems[0].message == "it and loss.lambda_l1 are 0, so that G has nothing to learn; set one of them"


def test_the_preset_paper_has_table_14_and_pix2pixs_numbers():
    settings, problems = check_settings(KINDS["recolor"], read_section("paper", "recolor"))
    assert settings is not None, problems
    assert (settings.generator.width, settings.generator.skips, settings.discriminator.width) == (64, "concatenate", 32)
    assert (settings.loss.lambda_adv, settings.loss.lambda_l1) == (1, 100)
    assert (settings.adam.learning_rate, settings.adam.beta1, settings.adam.decay_from) == (2e-4, 0.5, 0.5)


def test_translations_are_not_validated_on(tiny_data):
    data = open_dataset(tiny_data)
    assert on(replace(data, faces=data.faces.assign(synthetic=True))).validate() == {}
