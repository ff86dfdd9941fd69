"""Bytes of one round of pairwise masking without losses, computed from the layout of its messages.

A message is a MessagePack array of byte strings behind a frame's header; `messages` says what each
string holds. The figures are exact: a test compares them with a round's own traffic.
"""

from dataclasses import dataclass

import numpy as np

from secagg.encoding.encoding import Encoding
from secagg.encoding.packing import packed_size
from secagg.wire.frame import HEADER_SIZE
from secagg_protocols.pairwise.messages import HASH_SIZE, KEY_SIZE, SEALED_SIZE, SHARE_SIZE, SIGNATURE_SIZE

CONTEXT_SIZE = 32
_INDEX = 4


@dataclass(frozen=True)
class PhaseBytes:
    """What one phase puts on the wire, headers included.

    Attributes:
        phase: its name.
        client: bytes that one client sends.
        server: bytes that the server sends to all clients together.
    """

    phase: str
    client: int
    server: int


def of_round(
    n: int, neighbours: int, dim: int, bits: int, active_threshold: int | None = None
) -> tuple[PhaseBytes, ...]:
    """One round of n clients.

    Args:
        n: clients.
        neighbours: of each; n - 1 is the complete graph.
        dim: entries of an update, without weights.
        bits: of a quantized entry.
        active_threshold: t in active mode, None in passive mode.
    """
    active = active_threshold is not None
    signature, context, shown = (SIGNATURE_SIZE, CONTEXT_SIZE, n) if active else (0, 0, neighbours)
    signers = active_threshold or 0
    complete = neighbours == n - 1
    k, holders = neighbours, neighbours + complete  # in the complete graph a client holds its own share too
    hashes = 2 * HASH_SIZE
    encoding = encoding_of(n, dim, bits)
    vector = packed_size(encoding.dim, encoding.ring)
    return (
        PhaseBytes("keys", _message(KEY_SIZE, KEY_SIZE, signature, context), n * _message()),
        PhaseBytes(
            "shares",
            _message(CONTEXT_SIZE, HASH_SIZE, k * SEALED_SIZE, holders * hashes),
            n * _message(shown * _INDEX, shown * 2 * KEY_SIZE, shown * signature, 0),
        ),
        PhaseBytes("masked", _message(vector), n * _message(CONTEXT_SIZE, k * _INDEX, k * SEALED_SIZE, k * hashes)),
        *([PhaseBytes("consistency", _message(signature), n * _message(_bits(n)))] if active else []),
        PhaseBytes(
            "unmask",
            _message(_bits(holders), holders * SHARE_SIZE),
            n * _message(_bits(n), signers * _INDEX, signers * signature),
        ),
    )


def encoding_of(n: int, dim: int, bits: int) -> Encoding:
    """How a session of n clients writes an update of `dim` entries; takes no memory for them."""
    return Encoding.of(np.broadcast_to(np.uint8(0), (dim,)), n, bits)


def _bits(count: int) -> int:
    return (count + 7) // 8


def _message(*strings: int) -> int:
    """Bytes of a framed message whose fields are byte strings of these lengths (MessagePack: fixarray, bin)."""
    heads = (2 if length < 2**8 else 3 if length < 2**16 else 5 for length in strings)
    return HEADER_SIZE + 1 + sum(heads) + sum(strings)
