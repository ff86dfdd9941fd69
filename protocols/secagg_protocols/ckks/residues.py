"""Coefficients as bytes: the modulus' bits each, every one checked to be below it."""

import numpy as np

from secagg.encoding import packing
from secagg.encoding.ring import Ring
from secagg.errors import WireError
from secagg.primitives.ckks import Parameters, Residues
from secagg.spans import span


@span("coefficients packed and unpacked")
def pack(values: Residues, parameters: Parameters) -> bytes:
    """Shape (n,) uint64, below q, to ceil(n * bits of q / 8) bytes."""
    return packing.pack(values, Ring(parameters.modulus_bits))


@span("coefficients packed and unpacked")
def unpack(data: bytes, count: int, parameters: Parameters, what: str) -> Residues:
    """(count,) uint64 below q. Raises WireError naming `what` for anything else."""
    try:
        values = packing.unpack(data, count, Ring(parameters.modulus_bits)).astype(np.uint64)
    except WireError as error:
        raise WireError(f"{what}: {error}") from None
    if values.size and values.max() >= parameters.modulus:
        raise WireError(f"{what}: a coefficient that is not below the modulus {parameters.modulus}")
    return values
