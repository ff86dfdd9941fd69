"""The rounds of one training run at the server: their numbers, and what nodes have prepared for the next one."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from secagg.adapters.flower.envelope import Ahead
from secagg.errors import PartyId
from secagg.primitives.entropy import Entropy
from secagg.scheme.session import FAMILY_SIZE

log = logging.getLogger("flwr.secagg")

MAX_PREPARED = 4096
"""Bytes of a message that is kept for the next round; those of pairwise masking have less than 600."""


@dataclass(frozen=True)
class Opening:
    """What a round begins with.

    Attributes:
        family, number: of its session.
        prepared: {node id: message} for that round.
    """

    family: bytes
    number: int
    prepared: Mapping[PartyId, bytes]

    def ahead(self, parties: int) -> Ahead:
        """What tells a node of the round after this one, of so many parties."""
        return Ahead(self.family.hex(), self.number + 1, parties)


class Family:
    """Numbers the secure rounds of one run, and keeps what nodes prepared until its round begins.

    Lives as long as the server's process: after a restart there is another family, and nodes send their keys anew.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._id = entropy(FAMILY_SIZE)
        self._next = 0
        self._prepared: dict[PartyId, bytes] = {}

    def begin(self) -> Opening:
        """A new round. Whatever becomes of it, neither its number nor what was prepared for it serves again."""
        opening = Opening(self._id, self._next, self._prepared)
        self._next, self._prepared = self._next + 1, {}
        return opening

    def keep(self, node: PartyId, message: bytes) -> None:
        """What a node prepared for the next round; its `Coordinator` checks it."""
        if len(message) > MAX_PREPARED:
            log.warning("secure aggregation: node %s prepared %d bytes, expected keys", node, len(message))
        else:
            self._prepared[node] = message
