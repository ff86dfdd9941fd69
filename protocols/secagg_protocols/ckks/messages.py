"""The messages of CKKS sums. Rows of equal size are packed into one byte string each.

Sets of parties are one bit each: bit i % 8 of byte i // 8 for index i of the session.
"""

from secagg.primitives import agreement, sealing
from secagg.primitives.ckks import KEY_SEED_BYTES
from secagg.scheme.policy import MinCohort
from secagg.wire.codec import Message

KEY_SIZE = agreement.KEY_BYTES
DIGEST_SIZE = 32
SEALED_SIZE = KEY_SEED_BYTES + sealing.TAG_BYTES
"""The seed of the round's secret key, sealed for one client."""


class AskKeys(Message, frozen=True):
    """Server: let us begin."""


class Keys(Message, frozen=True):
    """Client: a fresh X25519 public key, and what the client takes part in.

    Attributes:
        key: 32 bytes.
        context: digest of what it says the round is about.
        least: fewest contributors to a sum that holds its vector, `Policy.min_cohort` of this client.
    """

    key: bytes
    context: bytes
    least: MinCohort


class AskDeal(Message, frozen=True):
    """Server, to a few clients: who takes part, and their public keys (32 bytes each, ascending)."""

    parties: bytes
    keys: bytes


class Deal(Message, frozen=True):
    """Dealer: a fresh secret key's seed, sealed for each party of the ask (SEALED_SIZE bytes each).

    Attributes:
        commitment: of that seed, 32 bytes.
        sealed: one row a party, in the order of the ask.
    """

    commitment: bytes
    sealed: bytes


class AskEncrypted(Message, frozen=True):
    """Server: the key of this round, sealed for you.

    Attributes:
        context: digest of what all who take part say the round is about.
        parameters: digest of the CKKS parameters.
        dealer: its index.
        key: its public key.
        commitment: of the seed that it sealed for everybody.
        box: what it sealed for this client, SEALED_SIZE bytes.
        holder: whether this client will be asked to decrypt the sum; if not, it erases the key at once.
    """

    context: bytes
    parameters: bytes
    dealer: int
    key: bytes
    commitment: bytes
    box: bytes
    holder: bool


class Encrypted(Message, frozen=True):
    """Client: its ciphertexts; or, both fields empty, its word that the key in its box is not the one dealt.

    Attributes:
        body: one coefficient an entry, packed to the modulus' bits.
        seeds: of the uniform halves, 64 bytes a ciphertext.
    """

    body: bytes
    seeds: bytes


class AskDecrypt(Message, frozen=True):
    """Server, to the key holders: the sum of the contributors' ciphertexts.

    Attributes:
        contributors: a set of parties.
        body: as in `Encrypted`.
        masks: the uniform halves, expanded and added, N coefficients a ciphertext, packed to the modulus' bits.
    """

    contributors: bytes
    body: bytes
    masks: bytes


class Decrypted(Message, frozen=True):
    """Holder: the sum, rounded and packed to the ring's bits; nothing of the noise."""

    vector: bytes
