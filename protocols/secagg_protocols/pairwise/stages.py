"""A client's secrets at each point of a round. A stage holds what later phases still need and nothing else:
to move to the next one is to erase the rest.
"""

from secagg.wire.codec import Message


class Fresh(Message, frozen=True, tag=True):
    """Nothing has been asked yet."""


class Ready(Message, frozen=True, tag=True):
    """Before the session: the private X25519 scalars of keys that were advertised for its round.

    Asked for "keys" all the same, the client makes new ones, and these are gone.
    """

    sealing: bytes
    mask: bytes


class Advertised(Message, frozen=True, tag=True):
    """After "keys": the two private X25519 scalars."""

    sealing: bytes
    mask: bytes


class Dealt(Message, frozen=True, tag=True):
    """After "shares".

    Attributes:
        mask: private scalar of the mask key.
        seed: of the self-mask, 32 bytes.
        neighbours: indices.
        mask_keys: public mask key of each neighbour, 32 bytes each.
        opening_keys: AES keys of what each neighbour seals for this client, 32 bytes each.
        own: this client's shares of its own two secrets, where the graph is complete.
        absent: indices of those who advertised no keys, as far as this client can know.
        view: digest of the advertisements it was shown.
    """

    mask: bytes
    seed: bytes
    neighbours: bytes
    mask_keys: bytes
    opening_keys: bytes
    own: bytes
    absent: bytes
    view: bytes


class Submitted(Message, frozen=True, tag=True):
    """After "masked": shares of others' secrets, and none of this client's own.

    Attributes:
        dealers: indices of those whose shares were relayed (and this client, where the graph is complete).
        absent: indices of those who cannot be contributors, as far as this client can know.
        held: one bit a dealer, whether its two shares arrived sound.
        shares: seed share and key share, 2 * SHARE_SIZE bytes, of each dealer; zeros where not held.
        view: digest of the advertisements it was shown.
        agreed: the contributors that it signed in phase "consistency"; empty before, and without that phase.
    """

    dealers: bytes
    absent: bytes
    held: bytes
    shares: bytes
    view: bytes
    agreed: bytes


class Finished(Message, frozen=True, tag=True):
    """After "unmask": nothing is left that could open a mask."""


Stage = Fresh | Ready | Advertised | Dealt | Submitted | Finished


class Saved(Message, frozen=True):
    """The stage as `codec` writes it."""

    stage: Stage
