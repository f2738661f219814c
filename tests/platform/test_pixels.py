import numpy as np
import torch

from legan.platform.pixels import network_input, normalise, to_bytes, to_images, to_tensor


def test_pixels_survive_the_way_there_and_back():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = normalise(to_tensor(images))
    assert tensor.shape == (1, 3, 16, 16)
    assert float(tensor.min()) == -1.0
    assert abs(float(tensor.max()) - 1.0) < 1e-6
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(to_images(tensor), images)


def test_input_of_a_network_is_every_bytes_value_in_the_wanted_format():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    images.setflags(write=False)  # as decoded images are
    for channels_last, layout in ((True, torch.channels_last), (False, torch.contiguous_format)):
        x = network_input(images, torch.device("cpu"), channels_last)
        assert x.is_contiguous(memory_format=layout)
        assert torch.allclose(x[0, 0].reshape(-1).double(), torch.arange(256).double() / 127.5 - 1, atol=1e-6)


def test_values_are_rounded_and_those_out_of_range_are_cut():
    values = torch.tensor([-9.0, -1.0, -1 + 0.9 / 127.5, 0.0, 1.0, 9.0], dtype=torch.bfloat16)
    assert to_bytes(values).tolist() == [0, 0, 1, 128, 255, 255]
