"""A party's secrets at each point of a round. A stage holds what later phases still need and nothing else: to move
to the next one is to erase the rest.
"""

from secagg.wire.codec import Message


class Fresh(Message, frozen=True, tag=True):
    """Nothing has been asked yet."""


class Offered(Message, frozen=True, tag=True):
    """After "deal": the key that this candidate made, p || q || h."""

    private: bytes


class Submitted(Message, frozen=True, tag=True):
    """After "encrypted": a candidate's own key if it was chosen, else nothing."""

    private: bytes


class Finished(Message, frozen=True, tag=True):
    """After "decrypt": nothing is left that could open a ciphertext, but for shares of keys dealt in advance, which
    are not part of this state.
    """


Stage = Fresh | Offered | Submitted | Finished


class Saved(Message, frozen=True):
    """The stage as `codec` writes it."""

    stage: Stage
