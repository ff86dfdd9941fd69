"""Rounds whose server may lie: identities sign what it relays, and each client is shown all of it.

Bonawitz et al. 2017, Fig. 4, rounds 0, 1, 3 and 4, where the active mode differs; Bell et al. 2020. An advertisement
that was made in its session is signed over the session's digest and what its party says the round is about. One that
was prepared before its session is signed over the slot: run, round, party.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from secagg.errors import PartyId, PeerMisbehaved
from secagg.scheme import Roster, RoundSlot, Seat
from secagg.scheme.context import check_shown
from secagg.wire.packed import check_rows, pack_bits, rows
from secagg_protocols.pairwise import derive, messages
from secagg_protocols.pairwise.messages import HASH_SIZE, KEY_SIZE, SIGNATURE_SIZE, pack_indices, unpack_indices
from secagg_protocols.pairwise.neighbourhoods import neighbours_of
from secagg_protocols.pairwise.round import Round, Shown, check_distinct, unpack_prepared


@dataclass(frozen=True)
class SignedRound(Round):
    """Active mode.

    Attributes:
        roster: everybody's public identity keys.
        slot: of a party in this round.
        sign: this client's signature of a statement, 64 bytes; None at the server.
    """

    agrees = True

    roster: Roster
    slot: Callable[[PartyId], RoundSlot]
    sign: Callable[[bytes], bytes] | None = None

    def signed(self, statement: bytes) -> bytes:
        """This client's signature."""
        assert self.sign is not None, "a client signs"
        return self.sign(statement)

    def statement(self, i: int, keys: bytes, prepared: bool) -> bytes:
        """What party i signs of its two public keys. Raises PeerMisbehaved for prepared ones in a session of no run.

        A server may open a session of an earlier round again: only the context tells the rounds apart then.
        """
        if not prepared:
            return derive.advertisement(self.session.digest, self.context, i, keys)
        party = self.session.parties[i]
        if not self.session.run:
            raise PeerMisbehaved("keys that were prepared, in a session that belongs to no run", {party})
        return derive.prepared_advertisement(self.slot(party).digest, keys)

    def agreement(self, view: bytes, contributors: bytes) -> bytes:
        """What a client that was shown `view` signs of the contributor set."""
        return derive.agreement_on(self.bound, view, contributors)

    def advertised(self, me: int, keys: bytes) -> messages.Keys:
        """The keys, signed, and what the client says the round is about."""
        signature = self.signed(self.statement(me, keys, prepared=False))
        return messages.Keys(keys[:KEY_SIZE], keys[KEY_SIZE:], signature, self.context)

    def check_keys(self, i: int, reply: messages.Keys, prepared: bool) -> None:
        """Raise PeerMisbehaved or InconsistentModel unless its identity signed it for this round."""
        party = self.session.parties[i]
        if prepared:
            check_rows(reply.context, HASH_SIZE, 0, "context")
        else:
            check_shown(reply.context, self.context, party)
        self.roster.verify(party, self.statement(i, reply.sealing + reply.mask, prepared), reply.signature)

    def asks_for_shares(
        self,
        alive: Iterable[int],
        neighbours: Mapping[int, Sequence[int]],
        shown: Shown,
    ) -> dict[int, messages.AskShares]:
        """Each client is shown all, in one message, and draws the graph itself."""
        return dict.fromkeys(alive, shown(list(neighbours)))

    def asks_to_unmask(
        self, contributors: Collection[int], holders: Mapping[int, Sequence[int]], signatures: Mapping[int, bytes]
    ) -> dict[int, messages.AskUnmask]:
        """Those who signed the set and can be shown `threshold` signatures of holders of their shares."""
        needed, bits = self.parameters.threshold, self.bits(contributors)
        asks = {}
        for i, signers in signers_for(holders, signatures).items():
            if len(signers) >= needed:
                shown = b"".join(signatures[j] for j in signers[:needed])
                asks[i] = messages.AskUnmask(bits, pack_indices(signers[:needed]), shown)
        return asks

    def pack_prepared(self, prepared: Sequence[bool]) -> bytes:
        """One bit an advertisement; nothing where none was."""
        return pack_bits(np.array(prepared, np.bool_)) if any(prepared) else b""

    def check_advertisements(self, me: int, own: bytes, ask: messages.AskShares) -> dict[int, bytes]:
        """Of all who advertised, each with a signature for this round, its own among them."""
        parties = unpack_indices(ask.parties, self.n)
        keys = rows(ask.keys, 2 * KEY_SIZE, len(parties), "public keys")
        prepared = unpack_prepared(ask.prepared, len(parties))
        signatures = rows(ask.signatures, SIGNATURE_SIZE, len(parties), "signatures")
        if dict(zip(parties, keys, strict=True)).get(me) != own:
            raise PeerMisbehaved("the server shows other keys in this party's name, or none")
        for i, key, signature, ahead in zip(parties, keys, signatures, prepared, strict=True):
            self._check_relayed(i, partial(self.statement, i, key, ahead), signature)
        check_distinct(keys)
        return {i: key + signature for i, key, signature in zip(parties, keys, signatures, strict=True)}

    def neighbours(self, seat: Seat, me: int, advertised: Mapping[int, bytes]) -> list[int]:
        """As the graph over all advertisements says.

        A server that hides honest clients leaves the corrupt ones, who would then be this client's neighbours.
        """
        seat.policy.check_cohort(len(advertised))
        if len(advertised) < self.parameters.fewest_drawn:
            raise PeerMisbehaved(
                f"the server shows keys of {len(advertised)} parties: fewer than the {self.parameters.fewest_drawn} "
                "among whom corrupt neighbours are few enough"
            )
        return neighbours_of(me, advertised, self.parameters)

    def absent(self, advertised: Mapping[int, bytes]) -> list[int]:
        """Whose advertisement is not among all that a client is shown."""
        return [i for i in range(self.n) if i not in advertised]

    def signers(self, i: int) -> set[int]:
        """Its own."""
        return {i}

    def check_agreement(self, view: bytes, dealers: Collection[int], ask: messages.AskUnmask) -> None:
        """`threshold` holders of this client's shares signed the very set that it is asked about.

        Each honest holder answers for one set only, and 2 * threshold exceeds all holders of any client's secrets
        with the corrupt ones counted twice, so no two sets both get `threshold` shares of one client.
        """
        signers = unpack_indices(ask.signers, self.n)
        signatures = rows(ask.signatures, SIGNATURE_SIZE, len(signers), "signatures")
        if not set(signers) <= set(dealers):
            raise PeerMisbehaved("the server shows the signature of a party that holds none of this party's shares")
        statement = self.agreement(view, ask.contributors)
        for i, signature in zip(signers, signatures, strict=True):
            self._check_relayed(i, lambda: statement, signature)
        needed = self.parameters.threshold
        if len(signers) < needed:
            raise PeerMisbehaved(f"{len(signers)} signatures of the contributor set, {needed} needed")

    def check_signature(self, i: int, view: bytes, contributors: bytes, signature: bytes) -> None:
        """At the server: raise PeerMisbehaved unless party i signed the contributor set."""
        self.roster.verify(self.session.parties[i], self.agreement(view, contributors), signature)

    def _check_relayed(self, i: int, statement: Callable[[], bytes], signature: bytes) -> None:
        """A signature that is not the party's own is the server's lie: it relays only what it has verified itself."""
        try:
            self.roster.verify(self.session.parties[i], statement(), signature)
        except PeerMisbehaved as error:
            raise PeerMisbehaved(f"the server relays what was not signed like this: {error}") from None


def signers_for(holders: Mapping[int, Sequence[int]], signatures: Mapping[int, bytes]) -> dict[int, list[int]]:
    """{who signed the contributor set: who of the holders of its shares did}."""
    return {i: [j for j in holders[i] if j in signatures] for i in signatures}
