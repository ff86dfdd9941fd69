"""PyTorch's tensors go in and come out as themselves, and torch is loaded only where the caller loaded it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import secagg
from secagg.errors import BadDtype, NotFinite, OutOfRing, ShapeMismatch
from secagg_protocols import PairwiseMasking

PAGE = Path(__file__).parents[2] / "docs" / "structures.md"
SCHEME = PairwiseMasking()


def network(seed):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    for _ in range(3):
        model(torch.randn(8, 4))  # moves the running statistics and the counter
    return model


def states(clients=3):
    return {i: network(seed=i).state_dict() for i in range(clients)}


def test_a_state_dict_comes_back_as_one():
    updates = states()
    out = secagg.aggregate(updates, SCHEME, bits=20, clip=4.0)
    assert list(out.mean) == list(updates[0])
    for name, mean in out.mean.items():
        given = torch.stack([state[name] for state in updates.values()]).double().clamp(-4, 4)
        assert isinstance(mean, torch.Tensor)
        assert mean.shape == updates[0][name].shape
        assert (mean.double() - given.mean(0)).abs().max() <= out.error_bound
        if updates[0][name].is_floating_point():
            assert mean.dtype == updates[0][name].dtype
    assert out.sum["1.num_batches_tracked"] == 9
    assert out.sum["1.num_batches_tracked"].dtype == torch.int64
    model = network(seed=9)
    assert not any(model.load_state_dict(out.mean))
    assert model[1].num_batches_tracked == 3


def test_parameters_are_read_without_their_gradient_and_left_alone():
    model = network(seed=1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    out = secagg.aggregate({i: list(model.parameters()) for i in range(3)}, SCHEME, clip=4.0)
    assert all(isinstance(mean, torch.Tensor) and not mean.requires_grad for mean in out.mean)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_float_that_torch_has(dtype):
    update = torch.tensor([[0.5, -0.25], [0.125, 0.0]], dtype=dtype)
    out = secagg.aggregate(dict.fromkeys(range(3), update), SCHEME, clip=0.5)
    assert out.mean.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)
    assert (out.mean.double() - update.double()).abs().max() <= out.error_bound


def test_memory_order_does_not_matter():
    update = torch.arange(12.0).reshape(3, 4).t()[::2]
    out = secagg.aggregate(dict.fromkeys(range(3), update), SCHEME, clip=11.0)
    assert (out.mean - update).abs().max() <= out.error_bound


def test_tensors_arrays_and_numbers_side_by_side():
    update = {"t": torch.ones(2), "a": np.ones(2), "n": 1.0}
    mean = secagg.aggregate(dict.fromkeys(range(3), update), SCHEME).mean
    assert [type(mean[key]) for key in "tan"] == [torch.Tensor, np.ndarray, float]


def test_one_party_may_hold_arrays_where_the_other_holds_tensors():
    out = secagg.aggregate({0: torch.ones(2), 1: np.ones(2, np.float32), 2: torch.ones(2)}, SCHEME)
    assert isinstance(out.mean, torch.Tensor)
    assert (out.mean - 1).abs().max() <= out.error_bound


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (torch.tensor([1.0, float("nan")]), NotFinite, r"party 1: update\['w'\]\[1\] is nan"),
        (torch.ones(3), ShapeMismatch, r"party 1: update\['w'\]: shape \(3,\), expected \(2,\)"),
        (torch.ones(2).to_sparse(), BadDtype, r"party 1: update\['w'\]: Tensor is not an array of numbers"),
        (torch.ones(2, dtype=torch.complex64), BadDtype, r"party 1: update\['w'\]: entries are complex64"),
    ],
)
def test_what_cannot_be_summed_is_named(bad, error, message):
    good = {"w": torch.ones(2)}
    with pytest.raises(error, match=message):
        secagg.aggregate({0: good, 1: {"w": bad}, 2: good}, SCHEME)


def test_a_counter_beyond_the_bits_is_named():
    updates = states()
    updates[1]["1.num_batches_tracked"] += 2**16
    with pytest.raises(OutOfRing, match=r"party 1: update\['1.num_batches_tracked'\] is 65539.*0..65535"):
        secagg.aggregate(updates, SCHEME, clip=4.0)


def test_a_server_without_torch_gets_arrays_and_loads_none():
    session = secagg.Session.create([0, 1], like={"w": torch.ones(2)})
    code = """
import sys
import numpy as np
import secagg
session = secagg.Session.from_bytes(bytes.fromhex(sys.argv[1]))
vector = session.encoding.encode({"w": np.ones(2, np.float32)}, 1, lambda n: bytes(n))
print(type(session.encoding.decode(vector, 1).mean["w"]).__name__, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, session.to_bytes().hex()], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["ndarray", "False"]


def test_the_pages_blocks_run():
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)
