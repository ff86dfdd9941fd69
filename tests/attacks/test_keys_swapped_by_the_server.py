"""A server puts keys of its own in place of everybody else's: it opens all that the victim deals, and takes off its
masks (the man in the middle of Bonawitz et al. 2017, 6.2).

Passive mode is open to this, as the threat model says: its keys are unsigned.
"""

import os

import pytest
from attacker import (
    OTHERS,
    UPDATES,
    VICTIM,
    LyingServer,
    N,
    assert_is_update_of,
    interpolated,
    make_session,
    statement_of,
)

from secagg.api import Participant
from secagg.errors import PeerMisbehaved
from secagg.primitives import agreement, sealing, signing
from secagg.scheme import Credentials, Seat
from secagg.testing import opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    SEALED_SIZE,
    SHARE_SIZE,
    AskKeys,
    AskMasked,
    AskShares,
    Shares,
    pack_indices,
)


class Puppets:
    """Key pairs of the server's own making, in the others' names: {party: (sealing, mask)}."""

    def __init__(self):
        self.private = {j: (agreement.generate(os.urandom), agreement.generate(os.urandom)) for j in OTHERS}
        self.public = {j: tuple(map(agreement.public_key, keys)) for j, keys in self.private.items()}

    def ask(self, signatures=b""):
        return AskShares(pack_indices(OTHERS), b"".join(b"".join(self.public[j]) for j in OTHERS), signatures)

    def pair(self, server, j):
        """Both shares that the victim dealt to party j, opened by the server."""
        own = server.keys(VICTIM).sealing
        info = derive.pair_info(derive.SEALING, VICTIM, own, j, self.public[j][0])
        (shared,) = agreement.derive_many([self.private[j][0]], [own], [info], server.bound)
        dealt = opened(server.sent["shares", VICTIM], Shares).sealed
        box = dealt[SEALED_SIZE * OTHERS.index(j) :][:SEALED_SIZE]
        key = derive.sealing_key(shared, VICTIM, j)
        return sealing.open_sealed(key, box, derive.sealing_data(server.bound, VICTIM, j))


def middle(puppets):
    """The victim's round, in which it talks to the server alone."""
    scheme, session = PairwiseMasking(), make_session()
    server = LyingServer(scheme, session, {VICTIM: Participant(scheme, session, VICTIM)})
    server.ask(VICTIM, "keys", AskKeys())
    server.ask(VICTIM, "shares", puppets.ask())
    nothing = AskMasked(
        derive.context_digest(session.context),
        pack_indices(OTHERS),
        bytes(SEALED_SIZE * (N - 1)),
        bytes(2 * HASH_SIZE * (N - 1)),
    )
    server.ask(VICTIM, "masked", nothing, UPDATES[VICTIM])
    return server


def test_unsigned_keys_are_open_to_it():
    puppets = Puppets()
    server = middle(puppets)
    pairs = {j: puppets.pair(server, j) for j in OTHERS}
    seed = server.seed(VICTIM, {j: pair[:SHARE_SIZE] for j, pair in pairs.items()})
    key = interpolated({j: pair[SHARE_SIZE:] for j, pair in pairs.items()})
    publics = {j: mask for j, (_, mask) in puppets.public.items()}
    assert_is_update_of(VICTIM, server.bare(VICTIM, seed, server.pairs(VICTIM, key, publics)))


def signed_by(identities, server, puppets):
    """The puppets' keys and the victim's, signed; the victim's are its own."""
    own = server.keys(VICTIM)
    keys, signatures = [], []
    for j in range(N):
        key = own.sealing + own.mask if j == VICTIM else b"".join(puppets.public[j])
        statement = statement_of(server.session, j, key)
        keys.append(key)
        signatures.append(own.signature if j == VICTIM else signing.sign(identities(j), statement))
    return AskShares(pack_indices(range(N)), b"".join(keys), b"".join(signatures))


@pytest.mark.parametrize(
    "identities", [lambda _: bytes(range(32)), lambda j: os.urandom(32)], ids=["one identity", "an identity for each"]
)
def test_signed_keys_are_not(identities):
    scheme, session = PairwiseMasking(adversary="active"), make_session()
    credentials = Credentials.generate(range(N), os.urandom)
    victim = Participant(scheme, session, Seat(VICTIM, credentials=credentials[VICTIM]))
    server = LyingServer(scheme, session, {VICTIM: victim}, credentials[VICTIM].roster)
    server.ask(VICTIM, "keys", AskKeys())
    with pytest.raises(PeerMisbehaved, match="signature does not verify") as error:
        server.ask(VICTIM, "shares", signed_by(identities, server, Puppets()))
    assert not error.value.culprits  # the server relays what nobody on the roster has signed
    assert ("shares", VICTIM) not in server.sent
