import pytest
import torch

from mmfuse.errors import BadSpec
from mmfuse.training.device import choose_device, use_threads


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    assert choose_device("auto") == torch.device("cuda:0")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert choose_device("auto") == torch.device("cpu")


def test_a_gpu_may_be_chosen_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cuda") == torch.device("cuda:0")


@pytest.mark.parametrize(("present", "sentence"), [(0, "no GPU number 2: there is none"), (2, "2 are there")])
def test_a_gpu_that_is_not_there_is_a_mistake_in_the_request(monkeypatch, present, sentence):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: present)

    with pytest.raises(BadSpec, match=sentence):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_a_name_that_is_no_device_is_a_mistake_in_the_request(name):
    with pytest.raises(BadSpec, match="is not a device"):
        choose_device(name)


def test_threads_are_set_and_told():
    before = torch.get_num_threads()
    try:
        assert use_threads(1) == 1
        assert use_threads(None) == 1
    finally:
        torch.set_num_threads(before)
