"""The server of pairwise masking.

Bonawitz et al. 2017, Fig. 4, the server's side of rounds 0 (keys), 1 (shares), 2 (masked) and 4 (unmask); Bell et
al. 2020, Protocol 3, where neighbours are few. Parties are indices here, ids only at the interface.
"""

from collections.abc import Mapping, Set

import numpy as np

from secagg.encoding.packing import add_packed
from secagg.errors import InconsistentModel, LocalMisuse, PartyId, PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement
from secagg.scheme import Phase, ServerSide, Session, Sum
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg_protocols.pairwise.cohort import Cohort
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SEALED_SIZE,
    AskKeys,
    AskMasked,
    AskShares,
    AskUnmask,
    Keys,
    Masked,
    Shares,
    Unmask,
    pack_bits,
    pack_indices,
    rows,
)
from secagg_protocols.pairwise.recovery import Recovery
from secagg_protocols.pairwise.terms import Terms

_Rows = tuple[tuple[int, bytes], ...]


class _Saved(Message, frozen=True):
    """The machine between two calls; what a later phase does not need is empty."""

    keys: _Rows
    commitments: _Rows
    sealed: _Rows
    hashes: _Rows
    members: tuple[int, ...]
    accumulator: bytes
    contributors: tuple[int, ...]
    recovery: bytes | None


class PairwiseServer(ServerSide):
    """Sums masked vectors as they come, and removes the masks that did not cancel.

    Memory: one vector, and per edge of the graph the sealed pair of shares until it is relayed, its two hashes and,
    at the end, one share.

    Args:
        session, terms: the round.
        bound, context: 32 bytes each, what clients derive their keys from and what they say of it in clear.
        saved: what `save` returned.
    """

    def __init__(
        self, session: Session, terms: Terms, bound: bytes, context: bytes, saved: bytes | None = None
    ) -> None:
        self._session = session
        self._terms = terms
        self._bound = bound
        self._context = context
        self._keys: dict[int, bytes] = {}  # sealing || mask
        self._seen: set[bytes] = set()  # each public key by itself
        self._commitments: dict[int, bytes] = {}
        self._sealed: dict[int, bytes] = {}  # one box a neighbour, ascending
        self._hashes: dict[int, bytes] = {}  # one pair of hashes a holder, ascending
        self._graph: Cohort | None = None
        self._members: frozenset[int] = frozenset()
        self._accumulator = session.ring.zeros(session.dim)
        self._contributors: frozenset[int] = frozenset()
        self._recovery: Recovery | None = None
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
            asks = {i: self._ask_masked(i) for i in self._members}
            self._sealed.clear()
        else:
            contributed = np.zeros(len(self._session.parties), np.bool_)
            contributed[list(self._contributors)] = True
            ask = AskUnmask(pack_bits(contributed))
            asks = dict.fromkeys(self._contributors, ask)
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
            case Unmask():
                self._recovering.absorb(i, reply)
            case _:
                raise LocalMisuse(f"{type(reply).__name__} is no reply of pairwise masking")

    def close(self, phase: Phase, answered: Set[PartyId]) -> Sum | None:
        """Apply the threshold rule of one phase; the sum at the end."""
        indices = frozenset(map(self._session.index, answered))
        if phase.reply is Keys:
            if len(indices) < self._terms.least_cohort:
                raise TooFew(phase.name, len(indices), self._terms.least_cohort)
            self._graph = Cohort(self._keys, self._terms)
        elif phase.reply is Shares:
            self._close_shares(phase, indices)
        elif phase.reply is Masked:
            self._contributors = indices
            self._recovery = self._new_recovery()
            self._recovery.check_reachable(phase.name, self._terms.least_cohort)
        else:
            return self._finish(phase)
        return None

    def save(self) -> bytes:
        """All state: no secret before "unmask", shares of secrets from then on."""
        return codec.encode(
            _Saved(
                keys=tuple(self._keys.items()),
                commitments=tuple(self._commitments.items()),
                sealed=tuple(self._sealed.items()),
                hashes=tuple(self._hashes.items()),
                members=tuple(sorted(self._members)),
                accumulator=self._accumulator.tobytes(),
                contributors=tuple(sorted(self._contributors)),
                recovery=None if self._recovery is None else self._recovery.save(),
            )
        )

    def _load(self, saved: _Saved) -> None:
        if len(saved.accumulator) != self._accumulator.nbytes:
            raise WireError("saved server of another round")
        self._keys, self._commitments = dict(saved.keys), dict(saved.commitments)
        self._sealed, self._hashes = dict(saved.sealed), dict(saved.hashes)
        self._seen = {half for key in self._keys.values() for half in (key[:KEY_SIZE], key[KEY_SIZE:])}
        # Before "keys" has closed this graph is provisional; closing builds it anew.
        self._graph = Cohort(self._keys, self._terms) if len(self._keys) >= self._terms.least_cohort else None
        self._members = frozenset(saved.members)
        self._accumulator[:] = np.frombuffer(saved.accumulator, self._accumulator.dtype)
        self._contributors = frozenset(saved.contributors)
        if saved.recovery is not None:
            self._recovery = self._new_recovery()
            self._recovery.load(saved.recovery)

    def _absorb_keys(self, i: int, reply: Keys) -> None:
        """Fig. 4, Round 0."""
        keys = (reply.sealing, reply.mask)
        for key in keys:
            if len(key) != KEY_SIZE:
                raise WireError(f"public key of {len(key)} bytes: expected {KEY_SIZE}")
            # Any scalar shows a point of low order; an honest neighbour would have to leave over it.
            agreement.shared_secret(bytes(KEY_SIZE), key)
        if keys[0] == keys[1] or not self._seen.isdisjoint(keys):
            raise PeerMisbehaved("a public key that was advertised before", {self._session.parties[i]})
        self._seen.update(keys)
        self._keys[i] = reply.sealing + reply.mask

    def _absorb_shares(self, i: int, reply: Shares) -> None:
        """Fig. 4, Round 1."""
        if reply.context != self._context:
            raise InconsistentModel(
                f"received another model, round or configuration: digest {reply.context.hex()[:16]}, "
                f"the session's is {self._context.hex()[:16]}",
                {self._session.parties[i]},
            )
        if len(reply.commitment) != HASH_SIZE:
            raise WireError(f"commitment of {len(reply.commitment)} bytes: expected {HASH_SIZE}")
        rows(reply.sealed, SEALED_SIZE, len(self._cohort.neighbours[i]), "sealed shares")
        rows(reply.hashes, 2 * HASH_SIZE, len(self._cohort.holders[i]), "share hashes")
        self._commitments[i] = reply.commitment
        self._sealed[i] = reply.sealed
        self._hashes[i] = reply.hashes

    def _close_shares(self, phase: Phase, answered: frozenset[int]) -> None:
        self._members = self._cohort.core(answered)
        if not self._members:
            if len(answered) < self._terms.least_cohort:
                raise TooFew(phase.name, len(answered), self._terms.least_cohort)
            most = self._cohort.most_holders(answered)
            raise TooFew(
                phase.name, most, self._terms.threshold, "holders for each secret, in the best part of the graph"
            )

    def _finish(self, phase: Phase) -> Sum:
        """Fig. 4, Round 4: recover the secrets, remove the masks, reduce mod 2**b."""
        mask_keys = {i: key[KEY_SIZE:] for i, key in self._keys.items()}
        opened = self._recovering.open(phase.name, self._commitments, mask_keys)
        self._recovering.unmask(self._accumulator, opened, mask_keys)
        self._recovery = None
        vector = self._session.ring.reduce(self._accumulator)
        return Sum(vector, frozenset(self._session.parties[i] for i in self._contributors))

    def _ask_shares(self, i: int) -> AskShares:
        neighbours = self._cohort.neighbours[i]
        return AskShares(pack_indices(neighbours), b"".join(self._keys[j] for j in neighbours))

    def _ask_masked(self, i: int) -> AskMasked:
        dealers = [j for j in self._cohort.neighbours[i] if j in self._members]
        return AskMasked(
            dealers=pack_indices(dealers),
            sealed=b"".join(
                _row(self._sealed[j], SEALED_SIZE, self._cohort.place_among_neighbours(j, i)) for j in dealers
            ),
            hashes=b"".join(self._hashes_of(j, i) for j in dealers),
        )

    def _hashes_of(self, dealer: int, holder: int) -> bytes:
        place = self._cohort.place_among_holders(dealer, holder)
        return _row(self._hashes[dealer], 2 * HASH_SIZE, place)

    def _new_recovery(self) -> Recovery:
        holders = {i: [j for j in self._cohort.holders[i] if j in self._members] for i in self._members}
        return Recovery(
            self._session,
            self._bound,
            self._terms.threshold,
            holders,
            self._contributors,
            self._hashes_of,
        )

    @property
    def _cohort(self) -> Cohort:
        if self._graph is None:
            raise LocalMisuse('no graph before phase "keys" has closed')
        return self._graph

    @property
    def _recovering(self) -> Recovery:
        if self._recovery is None:
            raise LocalMisuse('nothing to recover before phase "masked" has closed')
        return self._recovery


def _row(data: bytes, size: int, index: int) -> bytes:
    return data[size * index : size * (index + 1)]
