"""Key advertisements: what an identity signs of its keys, and what a client checks of those it is shown.

Bonawitz et al. 2017, Fig. 4, rounds 0 and 1; Bell et al. 2020. An advertisement that was made in its session is signed
over the session's digest and what its party says the round is about. One that was prepared before its session is signed
over the slot: run, round, party.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from secagg.errors import PartyId, PeerMisbehaved, WireError
from secagg.primitives import agreement
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Roster, RoundSlot, Session
from secagg.wire import codec
from secagg.wire.packed import pack_bits, rows, unpack_bits
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import KEY_SIZE, SIGNATURE_SIZE, AskShares, Keys, unpack_indices
from secagg_protocols.pairwise.stages import Ready, Saved


@dataclass(frozen=True)
class SignedStatements:
    """What the identities of one session sign of their advertisements.

    Attributes:
        session: the round.
        context: digest of what this end says the round is about; who says otherwise is not in it.
        slot: of a party in it.
    """

    session: Session
    context: bytes
    slot: Callable[[PartyId], RoundSlot]

    def of(self, i: int, keys: bytes, *, prepared: bool) -> bytes:
        """Party i's, of its two public keys. Raises PeerMisbehaved for prepared ones in a session of no run."""
        if not prepared:
            return derive.advertisement(self.session.digest, self.context, i, keys)
        party = self.session.parties[i]
        if not self.session.run:
            raise PeerMisbehaved("keys that were prepared, in a session that belongs to no run", {party})
        return derive.prepared_advertisement(self.slot(party).digest, keys)


def prepare(slot: RoundSlot, entropy: Entropy, credentials: Credentials | None) -> tuple[Keys, bytes]:
    """Two fresh key pairs before their session: the advertisement, and the client's state that goes on from it."""
    stage = Ready(agreement.generate(entropy), agreement.generate(entropy))
    sealing, mask = agreement.public_key(stage.sealing), agreement.public_key(stage.mask)
    signature = b""
    if credentials is not None:
        signature = credentials.sign(derive.prepared_advertisement(slot.digest, sealing + mask))
    return Keys(sealing, mask, signature), codec.encode(Saved(stage))


def shown(ask: AskShares, me: int, own: bytes, statements: SignedStatements, roster: Roster | None) -> dict[int, bytes]:
    """{party: sealing key, mask key, signature}, each checked; in active mode, with a roster, of all who advertised.

    `own` are this client's two public keys. Raises PeerMisbehaved where the server relays what it must not.
    """
    parties = unpack_indices(ask.parties, len(statements.session.parties))
    keys = rows(ask.keys, 2 * KEY_SIZE, len(parties), "public keys")
    halves = {half for key in (*keys, own) for half in (key[:KEY_SIZE], key[KEY_SIZE:])}
    prepared = unpack_prepared(ask.prepared, len(parties))
    if roster is None:
        signatures = rows(ask.signatures, 0, len(parties), "signatures")
        if me in parties:
            raise PeerMisbehaved("the server names this party as its own neighbour")
        if any(prepared):
            raise WireError("signatures over a slot, in passive mode")
        distinct = 2 * len(parties) + 2
    else:
        signatures = rows(ask.signatures, SIGNATURE_SIZE, len(parties), "signatures")
        if dict(zip(parties, keys, strict=True)).get(me) != own:
            raise PeerMisbehaved("the server shows other keys in this party's name, or none")
        for i, key, signature, ahead in zip(parties, keys, signatures, prepared, strict=True):
            check_relayed(
                roster, statements.session.parties[i], _relayed_statement(statements, i, key, ahead), signature
            )
        distinct = 2 * len(parties)
    if len(halves) != distinct:
        raise PeerMisbehaved("the server relays one public key twice, or this party's own")
    return {i: key + signature for i, key, signature in zip(parties, keys, signatures, strict=True)}


def check_relayed(roster: Roster, party: PartyId, statement: bytes, signature: bytes) -> None:
    """A signature that is not the party's own is the server's lie: it relays only what it has verified itself."""
    try:
        roster.verify(party, statement, signature)
    except PeerMisbehaved as error:
        raise PeerMisbehaved(f"the server relays what was not signed like this: {error}") from None


def pack_prepared(prepared: Sequence[bool]) -> bytes:
    """One bit an advertisement, whether it was prepared; nothing where none was."""
    return pack_bits(np.array(prepared, np.bool_)) if any(prepared) else b""


def unpack_prepared(data: bytes, count: int) -> list[bool]:
    """The inverse of `pack_prepared` for `count` advertisements. Raises WireError."""
    if not data:
        return [False] * count
    prepared = [bool(bit) for bit in unpack_bits(data, count)]
    if not any(prepared):
        raise WireError("a bit set of prepared advertisements without any, expected no bytes")
    return prepared


def _relayed_statement(statements: SignedStatements, i: int, key: bytes, prepared: bool) -> bytes:
    try:
        return statements.of(i, key, prepared=prepared)
    except PeerMisbehaved as error:
        raise PeerMisbehaved(f"the server relays {error}") from None
