"""The server of pairwise masking.

Bonawitz et al. 2017, Fig. 4, the server's side of rounds 0 (keys), 1 (shares), 2 (masked) and 4 (unmask), and in
active mode 3 (consistency); Bell et al. 2020, where neighbours are few. Parties are indices here, ids only
at the interface.
"""

from collections.abc import Mapping, Sequence, Set
from functools import cached_property

import numpy as np

from secagg.encoding.packing import add_packed
from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement
from secagg.scheme import Phase, Roster, ServerSide, Session, Sum
from secagg.scheme.context import check_shown
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import check_rows, check_size, pack_set
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.advertisement import SignedStatements, pack_prepared
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SEALED_SIZE,
    SIGNATURE_SIZE,
    AskConsistency,
    AskKeys,
    AskMasked,
    AskShares,
    AskUnmask,
    Consistency,
    Keys,
    Masked,
    Shares,
    Unmask,
    pack_indices,
)
from secagg_protocols.pairwise.neighbourhoods import Neighbourhoods
from secagg_protocols.pairwise.parameters import Parameters
from secagg_protocols.pairwise.recovery import Recovery

_Rows = tuple[tuple[int, bytes], ...]


class _Saved(Message, frozen=True):
    """The machine between two calls; what a later phase does not need is empty."""

    keys: _Rows
    prepared: tuple[int, ...]
    commitments: _Rows
    sealed: _Rows
    hashes: _Rows
    members: tuple[int, ...]
    accumulator: bytes
    contributors: tuple[int, ...]
    recovery: bytes | None
    signatures: _Rows


class PairwiseServer(ServerSide):
    """Sums masked vectors as they come, and removes the masks that did not cancel.

    Memory: one vector, and per edge of the graph the sealed pair of shares until it is relayed, its two hashes and,
    at the end, one share.

    Args:
        session, parameters: the round.
        bound, context: 32 bytes each, what clients derive their keys from and what they say of it in clear.
        statements: what identities sign of their keys.
        roster: identities, in active mode.
        saved: what `save` returned.
    """

    def __init__(
        self,
        session: Session,
        parameters: Parameters,
        bound: bytes,
        context: bytes,
        statements: SignedStatements,
        roster: Roster | None = None,
        saved: bytes | None = None,
    ) -> None:
        self._session = session
        self._parameters = parameters
        self._bound = bound
        self._context = context
        self._statements = statements
        self._roster = roster
        self._keys: dict[int, bytes] = {}  # sealing || mask || signature
        self._prepared: set[int] = set()  # whose signature is over the slot
        self._seen: set[bytes] = set()  # each public key by itself
        self._commitments: dict[int, bytes] = {}
        self._sealed: dict[int, bytes] = {}  # one box a neighbour, ascending
        self._hashes: dict[int, bytes] = {}  # one pair of hashes a holder, ascending
        self._graph: Neighbourhoods | None = None
        self._members: frozenset[int] = frozenset()
        self._accumulator = session.ring.zeros(session.dim)
        self._contributors: frozenset[int] = frozenset()
        self._recovery: Recovery | None = None
        self._signatures: dict[int, bytes] = {}  # of the contributor set
        if saved is not None:
            self._load(codec.decode(saved, _Saved))

    def open(self, phase: Phase, alive: Set[PartyId]) -> Mapping[PartyId, Message]:
        """The asks of one phase."""
        asks: dict[int, Message]
        if phase.reply is Keys:
            asks = {self._session.index(party): AskKeys() for party in alive}
        elif phase.reply is Shares:
            asks = {self._session.index(party): self._ask_shares(self._session.index(party)) for party in alive}
        elif phase.reply is Masked:
            asks = self._ask_masked()
            self._sealed.clear()
        elif phase.reply is Consistency:
            asks = dict.fromkeys(self._contributors, AskConsistency(self._contributor_bits()))
        else:
            asks = self._ask_unmask()
        return {self._session.parties[i]: asks[i] for i in sorted(asks)}

    def absorb(self, phase: Phase, sender: PartyId, reply: Message) -> None:  # noqa: ARG002
        """Check and fold in one reply."""
        i = self._session.index(sender)
        match reply:
            case Keys():
                self._absorb_keys(i, reply)
            case Shares():
                self._absorb_shares(i, reply)
            case Masked():
                add_packed(self._accumulator, reply.vector, self._session.ring)
            case Consistency():
                self._absorb_consistency(i, reply)
            case Unmask():
                self._recovering.absorb(i, reply)
            case _:
                raise LocalMisuse(f"{type(reply).__name__} is no reply of pairwise masking")

    def absorb_prepared(self, sender: PartyId, reply: Message) -> None:
        """Keys that were advertised before the session."""
        if not isinstance(reply, Keys):
            raise LocalMisuse(f"{type(reply).__name__} is no reply of the first phase of pairwise masking")
        i = self._session.index(sender)
        self._absorb_keys(i, reply, prepared=True)
        self._prepared.add(i)

    def close(self, phase: Phase, answered: Set[PartyId]) -> Sum | None:
        """Apply the threshold rule of one phase; the sum at the end."""
        indices = frozenset(map(self._session.index, answered))
        if phase.reply is Keys:
            if len(indices) < self._parameters.least_advertised:
                raise TooFew(phase.name, len(indices), self._parameters.least_advertised)
            self._graph = Neighbourhoods(self._keys, self._parameters)
        elif phase.reply is Shares:
            self._close_shares(phase, indices)
        elif phase.reply is Masked:
            self._contributors = indices
            self._recovery = self._new_recovery()
            self._recovery.check_reachable(phase.name, self._parameters.least_cohort, self._contributors)
        elif phase.reply is Consistency:
            self._close_consistency(phase)
        else:
            return self._finish(phase)
        return None

    def accusations(self) -> Mapping[PartyId, str]:
        """{dealer: which holders say that it sealed them no sound share}; a holder may lie, so nobody is dropped."""
        missing = {} if self._recovery is None else self._recovery.missing
        parties = self._session.parties
        return {
            parties[dealer]: f"no sound share of its secrets, say the holders {[parties[i] for i in holders]}"
            for dealer, holders in missing.items()
        }

    def save(self) -> bytes:
        """All state: no secret before "unmask", shares of secrets from then on."""
        return codec.encode(
            _Saved(
                keys=tuple(self._keys.items()),
                prepared=tuple(sorted(self._prepared)),
                commitments=tuple(self._commitments.items()),
                sealed=tuple(self._sealed.items()),
                hashes=tuple(self._hashes.items()),
                members=tuple(sorted(self._members)),
                accumulator=self._accumulator.tobytes(),
                contributors=tuple(sorted(self._contributors)),
                recovery=None if self._recovery is None else self._recovery.save(),
                signatures=tuple(self._signatures.items()),
            )
        )

    def _load(self, saved: _Saved) -> None:
        self._check_saved(saved)
        self._keys, self._commitments = dict(saved.keys), dict(saved.commitments)
        self._prepared = set(saved.prepared)
        self._sealed, self._hashes = dict(saved.sealed), dict(saved.hashes)
        self._signatures = dict(saved.signatures)
        self._seen = {half for key in self._keys.values() for half in (key[:KEY_SIZE], key[KEY_SIZE : 2 * KEY_SIZE])}
        # Before "keys" has closed this graph is provisional; closing builds it anew.
        self._graph = (
            Neighbourhoods(self._keys, self._parameters) if len(self._keys) >= self._parameters.least_cohort else None
        )
        self._members = frozenset(saved.members)
        self._accumulator[:] = np.frombuffer(saved.accumulator, self._accumulator.dtype)
        self._contributors = frozenset(saved.contributors)
        if saved.recovery is not None:
            self._recovery = self._new_recovery()
            self._recovery.load(saved.recovery)

    def _check_saved(self, saved: _Saved) -> None:
        """Raise WireError for what no machine of this session saves."""
        advertised = {i for i, _ in saved.keys}
        members = set(saved.members)
        if len(saved.accumulator) != self._accumulator.nbytes:
            raise WireError("saved server of another round: its vector has another size")
        if not all(0 <= i < len(self._session.parties) for i in advertised) or not advertised.issuperset(
            saved.prepared
        ):
            raise WireError("saved server of another round: keys of no party")
        if not set(saved.contributors) <= members <= advertised or 0 < len(members) < self._parameters.least_cohort:
            raise WireError("saved server of another round: members that never advertised keys, or too few")

    def _absorb_keys(self, i: int, reply: Keys, *, prepared: bool = False) -> None:
        """Fig. 4, Round 0."""
        keys = (reply.sealing, reply.mask)
        for key in keys:
            check_size(key, KEY_SIZE, "public key")
            agreement.check_order(key)  # an honest neighbour would have to leave over it
        if self._roster is None or prepared:
            check_rows(reply.context, HASH_SIZE, 0, "context")
        else:
            check_shown(reply.context, self._context, self._session.parties[i])
        if self._roster is None:
            check_rows(reply.signature, SIGNATURE_SIZE, 0, "signature")
        else:
            statement = self._statements.of(i, reply.sealing + reply.mask, prepared=prepared)
            self._roster.verify(self._session.parties[i], statement, reply.signature)
        if keys[0] == keys[1] or not self._seen.isdisjoint(keys):
            raise PeerMisbehaved("a public key that was advertised before", {self._session.parties[i]})
        self._seen.update(keys)
        self._keys[i] = reply.sealing + reply.mask + reply.signature

    def _absorb_shares(self, i: int, reply: Shares) -> None:
        """Fig. 4, Round 1."""
        check_shown(reply.context, self._context, self._session.parties[i])
        check_size(reply.commitment, HASH_SIZE, "commitment")
        check_rows(reply.sealed, SEALED_SIZE, len(self._cohort.neighbours[i]), "sealed shares")
        check_rows(reply.hashes, 2 * HASH_SIZE, len(self._cohort.holders[i]), "share hashes")
        self._commitments[i] = reply.commitment
        self._sealed[i] = reply.sealed
        self._hashes[i] = reply.hashes

    def _absorb_consistency(self, i: int, reply: Consistency) -> None:
        """Fig. 4, Round 3."""
        if self._roster is None:
            raise LocalMisuse("a signature of the contributor set without a roster")
        self._roster.verify(self._session.parties[i], self._statement, reply.signature)
        self._signatures[i] = reply.signature

    def _close_shares(self, phase: Phase, answered: frozenset[int]) -> None:
        self._members = self._cohort.core(answered)
        if not self._members:
            if len(answered) < self._parameters.least_cohort:
                raise TooFew(phase.name, len(answered), self._parameters.least_cohort)
            most = self._cohort.most_holders(answered)
            raise TooFew(
                phase.name, most, self._parameters.threshold, "holders for each secret, in the best part of the graph"
            )

    def _close_consistency(self, phase: Phase) -> None:
        """Fig. 4, Round 4: a client speaks only once it sees `threshold` signatures of holders of its shares."""
        signed = max((len(self._signers_for(i)) for i in self._signatures), default=0)
        if signed < self._parameters.threshold:
            raise TooFew(
                phase.name, signed, self._parameters.threshold, "holders of one client's shares signed the set"
            )
        self._recovering.check_reachable(phase.name, self._parameters.least_cohort, self._speakers())

    def _finish(self, phase: Phase) -> Sum:
        """Fig. 4, Round 4: recover the secrets, remove the masks, reduce mod 2**b."""
        mask_keys = {i: key[KEY_SIZE : 2 * KEY_SIZE] for i, key in self._keys.items()}
        opened = self._recovering.open(phase.name, self._commitments, mask_keys)
        self._recovering.unmask(self._accumulator, opened, mask_keys)
        self._recovery = None
        vector = self._session.ring.reduce(self._accumulator)
        return Sum(vector, frozenset(self._session.parties[i] for i in self._contributors))

    def _ask_shares(self, i: int) -> AskShares:
        return self._advertisements(self._cohort.neighbours[i]) if self._roster is None else self._all_advertisements

    @cached_property
    def _all_advertisements(self) -> AskShares:
        """What every client is shown in active mode, once phase "keys" has closed."""
        return self._advertisements(sorted(self._keys))

    def _advertisements(self, shown: Sequence[int]) -> AskShares:
        return AskShares(
            parties=pack_indices(shown),
            keys=b"".join(self._keys[j][: 2 * KEY_SIZE] for j in shown),
            signatures=b"".join(self._keys[j][2 * KEY_SIZE :] for j in shown),
            prepared=b"" if self._roster is None else pack_prepared([j in self._prepared for j in shown]),
        )

    @cached_property
    def _statement(self) -> bytes:
        """What clients sign of the contributors, once phase "masked" has closed."""
        ask = self._all_advertisements
        view = derive.view_digest(ask.parties, ask.keys, ask.signatures)
        return derive.agreement_on(self._bound, view, self._contributor_bits())

    def _ask_masked(self) -> dict[int, Message]:
        boxes, hashes = self._cohort.turned_boxes(self._sealed), self._cohort.turned_hashes(self._hashes)
        return {
            i: AskMasked(
                context=self._context,
                dealers=pack_indices(j for j in self._cohort.neighbours[i] if j in self._members),
                sealed=boxes.of(i, self._members).tobytes(),
                hashes=hashes.of(i, self._members - {i}).tobytes(),
            )
            for i in self._members
        }

    def _ask_unmask(self) -> dict[int, Message]:
        contributed = self._contributor_bits()
        if self._roster is None:
            return dict.fromkeys(self._contributors, AskUnmask(contributed, b"", b""))
        asks: dict[int, Message] = {}
        for i in self._speakers():
            signers = self._signers_for(i)[: self._parameters.threshold]
            signatures = b"".join(self._signatures[j] for j in signers)
            asks[i] = AskUnmask(contributed, pack_indices(signers), signatures)
        return asks

    def _signers_for(self, i: int) -> list[int]:
        """Who signed the contributor set among the holders of the client's shares."""
        return [j for j in self._cohort.holders[i] if j in self._signatures]

    def _speakers(self) -> frozenset[int]:
        """Who will answer at "unmask": those who can be shown `threshold` signatures, having signed themselves."""
        return frozenset(i for i in self._signatures if len(self._signers_for(i)) >= self._parameters.threshold)

    def _contributor_bits(self) -> bytes:
        return pack_set(self._contributors, len(self._session.parties))

    def _new_recovery(self) -> Recovery:
        holders = {i: [j for j in self._cohort.holders[i] if j in self._members] for i in self._members}
        hashes = self._cohort.turned_hashes(self._hashes)
        return Recovery(
            self._session,
            self._bound,
            self._parameters.threshold,
            holders,
            self._contributors,
            lambda holder: hashes.of(holder, self._members),
        )

    @property
    def _cohort(self) -> Neighbourhoods:
        if self._graph is None:
            raise LocalMisuse('no graph before phase "keys" has closed')
        return self._graph

    @property
    def _recovering(self) -> Recovery:
        if self._recovery is None:
            raise LocalMisuse('nothing to recover before phase "masked" has closed')
        return self._recovery
