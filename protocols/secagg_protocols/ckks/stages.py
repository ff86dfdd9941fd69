"""A client's secrets at each point of a round. A stage holds what later phases still need and nothing else:
to move to the next one is to erase the rest.
"""

from secagg.wire.codec import Message


class Fresh(Message, frozen=True, tag=True):
    """Nothing has been asked yet."""


class Advertised(Message, frozen=True, tag=True):
    """After "keys", and after "deal": the private X25519 scalar. A dealer keeps no key that it dealt."""

    private: bytes


class Holding(Message, frozen=True, tag=True):
    """After "encrypted", a designated key holder: the seed of the round's secret key."""

    seed: bytes


class Finished(Message, frozen=True, tag=True):
    """After "encrypted" anybody else, after "decrypt" a holder: no secret is left."""


Stage = Fresh | Advertised | Holding | Finished


class Saved(Message, frozen=True):
    """The stage as `codec` writes it."""

    stage: Stage
