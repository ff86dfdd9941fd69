"""PyTorch's tensors as arrays and back. Torch is never imported here: only a caller who did can hold a tensor."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: Any) -> bool:
    """Whether `value` is a `torch.Tensor`, parameters included."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(value, kind)


def array_of(tensor: Any) -> NDArray[Any]:
    """A dense tensor's entries, on whatever device and with or without gradient; bfloat16 as float32.

    Raises what torch raises for a tensor that is not dense.
    """
    values = tensor.detach().cpu()
    if str(values.dtype) == "torch.bfloat16":  # NumPy has none; float32 holds all its values
        values = values.float()
    return np.asarray(values.numpy())


def tensor_of(array: NDArray[Any]) -> Any:
    """A tensor that shares the array's memory; the array itself where torch is not loaded."""
    torch: Any = sys.modules.get("torch")
    return array if torch is None else torch.from_numpy(array)
