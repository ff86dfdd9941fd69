"""One client of pairwise masking.

Bonawitz et al. 2017, Fig. 4, the client's side of rounds 0 (keys), 1 (shares), 2 (masked) and 4 (unmask), and in
active mode 3 (consistency); Bell et al. 2020, where neighbours are few.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from secagg.encoding.packing import pack
from secagg.encoding.ring import Lanes
from secagg.errors import PartyId, PeerMisbehaved
from secagg.primitives import agreement, prg, sealing, shamir
from secagg.primitives.entropy import draw
from secagg.scheme import Answer, PartySide, RoundSlot, Seat, Step
from secagg.scheme.context import check_theirs
from secagg.wire import codec
from secagg.wire.packed import check_rows, pack_bits, rows, unpack_bits
from secagg_protocols.pairwise import derive, messages
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SALT_SIZE,
    SEALED_SIZE,
    SHARE_SIZE,
    pack_indices,
    unpack_indices,
)
from secagg_protocols.pairwise.round import Round
from secagg_protocols.pairwise.signed import SignedRound
from secagg_protocols.pairwise.stages import Advertised, Dealt, Finished, Fresh, Ready, Saved, Submitted


class PairwiseParty(PartySide):
    """The client in `seat`, in one round as it sees it."""

    SAVED = Saved

    def __init__(self, round: Round, seat: Seat, saved: bytes | None = None) -> None:
        seat.policy.check_threshold(round.parameters.threshold)
        super().__init__(round.session, seat, Fresh(), saved)
        self.round = round

    def advertise(self, ask: messages.AskKeys, stage: Fresh | Ready) -> Answer:  # noqa: ARG002
        """Bonawitz et al. 2017, Fig. 4, Round 0: two fresh key pairs."""
        fresh = Advertised(*_fresh_keys(self.seat))
        return Answer(fresh, self.round.advertised(self.me, _publics(fresh)))

    def deal(self, ask: messages.AskShares, stage: Advertised | Ready) -> Answer:
        """Fig. 4, Round 1: share the mask key and a fresh self-mask seed, sealed to each neighbour."""
        round = self.round
        advertised = round.check_advertisements(self.me, _publics(stage), ask)
        neighbours = self._neighbours(advertised)
        keys = [advertised[j] for j in neighbours]
        seed = draw(self.seat.entropy, 32)
        pairs = self._split(seed, stage.mask, self._with_me(neighbours))
        shared = self._agree(derive.SEALING, stage.sealing, neighbours, [key[:KEY_SIZE] for key in keys])
        reply = messages.Shares(
            context=round.context,
            commitment=derive.commitment(round.bound, seed),
            sealed=b"".join(self._seal(j, secret, pairs[j]) for j, secret in zip(neighbours, shared, strict=True)),
            hashes=self._hashes(self.me, list(pairs), list(pairs.values())).tobytes(),
        )
        opening = (derive.sealing_key(secret, j, self.me) for j, secret in zip(neighbours, shared, strict=True))
        dealt = Dealt(
            mask=stage.mask,
            seed=seed,
            neighbours=pack_indices(neighbours),
            mask_keys=b"".join(key[KEY_SIZE : 2 * KEY_SIZE] for key in keys),
            opening_keys=b"".join(opening),
            own=pairs.get(self.me, b""),
            absent=pack_indices(round.absent(advertised)),
            view=derive.view_digest(ask.parties, ask.keys, ask.signatures),
        )
        return Answer(dealt, reply)

    def submit(self, ask: messages.AskMasked, stage: Dealt) -> Step:
        """Fig. 4, Round 2: open the shares, agree on one mask a neighbour; then add them and the self-mask."""
        check_theirs(ask.context, self.round.context, "its neighbours")
        neighbours, dealers = (unpack_indices(each, self.round.n) for each in (stage.neighbours, ask.dealers))
        self._check_dealers(dealers, neighbours)
        opening = dict(
            zip(neighbours, rows(stage.opening_keys, KEY_SIZE, len(neighbours), "opening keys"), strict=True)
        )
        public = dict(zip(neighbours, rows(stage.mask_keys, KEY_SIZE, len(neighbours), "mask keys"), strict=True))
        sealed = rows(ask.sealed, SEALED_SIZE, len(dealers), "sealed shares")
        check_rows(ask.hashes, 2 * HASH_SIZE, len(dealers), "share hashes")

        pairs = self._opened(dealers, [opening[j] for j in dealers], sealed, ask.hashes)
        if self.round.parameters.complete:
            pairs[self.me] = stage.own
        seeds = self._mask_seeds(stage, dealers, [public[j] for j in dealers])
        submitted = self._submitted(pairs, neighbours, stage)

        def masked(vector: Lanes) -> Answer:
            return Answer(submitted, messages.Masked(pack(self._mask(vector, seeds, dealers), self.session.ring)))

        return masked

    def agree(self, ask: messages.AskConsistency, stage: Submitted) -> Answer:
        """Fig. 4, Round 3: sign the contributor set, once."""
        assert isinstance(self.round, SignedRound), "the phase is active mode's"
        if stage.agreed:  # two signed sets would open both secrets of whoever is in one of them
            raise PeerMisbehaved("the server asks for a signature of a second set")
        self._check_contributors(ask.contributors, stage)
        signature = self.round.signed(self.round.agreement(stage.view, ask.contributors))
        return Answer(msgspec.structs.replace(stage, agreed=ask.contributors), messages.Consistency(signature))

    def unmask_agreed(self, ask: messages.AskUnmask, stage: Submitted) -> Answer:
        """Fig. 4, Round 4, in active mode: for the set that this client signed, and for no other."""
        if ask.contributors != stage.agreed:
            raise PeerMisbehaved("the server asks to unmask another set than this party signed")
        return self.unmask(ask, stage)

    def unmask(self, ask: messages.AskUnmask, stage: Submitted) -> Answer:
        """Fig. 4, Round 4: of each dealer one share, the seed's if it contributed, the mask key's if not."""
        contributed, ids = self._check_contributors(ask.contributors, stage)
        dealers = unpack_indices(stage.dealers, self.round.n)
        self.round.check_agreement(stage.view, dealers, ask)
        held = unpack_bits(stage.held, len(dealers))
        pairs = rows(stage.shares, 2 * SHARE_SIZE, len(dealers), "held shares")
        shares = [
            pair[:SHARE_SIZE] if contributed[j] else pair[SHARE_SIZE:]
            for j, pair, sound in zip(dealers, pairs, held, strict=True)
            if sound
        ]
        self.seat.open_set(self.session, ids, gives_input=True)
        return Answer(Finished(), messages.Unmask(stage.held, b"".join(shares)))

    def _neighbours(self, advertised: Mapping[int, bytes]) -> list[int]:
        """Whom this client shares masks with."""
        neighbours, degree = self.round.neighbours(self.seat, self.me, advertised), self.round.parameters.degree
        if len(neighbours) > degree:  # more holders than `least_threshold` reckons with could open both secrets
            raise PeerMisbehaved(f"{len(neighbours)} neighbours: the session's graph has {degree}")
        self._check_holders(neighbours)
        return neighbours

    def _check_contributors(
        self, contributors: bytes, stage: Submitted
    ) -> tuple[NDArray[np.bool_], frozenset[PartyId]]:
        """(one bit a party, (n,), their ids), if it is a set whose sum this client helps to open."""
        contributed = unpack_bits(contributors, self.round.n)
        ids = self.session.ids(np.flatnonzero(contributed).tolist())
        self.seat.check_set(self.session, ids, gives_input=True)
        least = self.round.parameters.least_cohort
        if len(ids) < least:
            raise PeerMisbehaved(
                f"the server asks to unmask a sum of {len(ids)}: fewer than the {least} that the threshold demands"
            )
        # A sum with a vector that was never relayed as masked is one that the server padded with words of its own.
        if contributed[unpack_indices(stage.absent, self.round.n)].any():
            raise PeerMisbehaved("the server counts a party as contributor whose shares it never relayed")
        return contributed, ids

    def _check_dealers(self, dealers: Sequence[int], neighbours: Sequence[int]) -> None:
        if not set(dealers) <= set(neighbours):
            raise PeerMisbehaved("the server relays shares of a party that is no neighbour")
        self._check_holders(dealers)

    def _check_holders(self, neighbours: Sequence[int]) -> None:
        holders, parameters = len(self._with_me(neighbours)), self.round.parameters
        if holders < parameters.threshold:
            raise PeerMisbehaved(f"{holders} holders of this party's shares, {parameters.threshold} needed")
        if parameters.complete:  # else neighbours are a sample: the contributor set itself is held against the policy
            self.seat.policy.check_cohort(holders)

    def _with_me(self, neighbours: Sequence[int]) -> list[int]:
        """Who holds shares of this client's secrets."""
        return sorted([*neighbours, self.me]) if self.round.parameters.complete else list(neighbours)

    def _split(self, seed: bytes, private: bytes, holders: Sequence[int]) -> dict[int, bytes]:
        """{holder: seed share, salt, key share, salt}; the share point of a party is its index + 1."""
        secrets, entropy = np.frombuffer(seed + private, np.uint8).reshape(2, 32), self.seat.entropy
        shares = shamir.split(secrets, [j + 1 for j in holders], self.round.parameters.threshold, entropy)
        salts = draw(entropy, 2 * SALT_SIZE * len(holders))
        pairs = {}
        for i, j in enumerate(holders):
            of_seed, of_key = (share.astype("<u8").tobytes() for share in shares[j + 1])
            salt = salts[2 * SALT_SIZE * i :][: 2 * SALT_SIZE]
            pairs[j] = of_seed + salt[:SALT_SIZE] + of_key + salt[SALT_SIZE:]
        return pairs

    def _agree(self, purpose: bytes, private: bytes, peers: Sequence[int], publics: Sequence[bytes]) -> list[bytes]:
        """The pair's key with each peer. A key of low order is the fault of who signed it; unsigned, the server's."""
        own = agreement.public_key(private)
        infos = [derive.pair_info(purpose, self.me, own, j, key) for j, key in zip(peers, publics, strict=True)]
        found = []
        keys = agreement.derive_many([private] * len(peers), publics, infos, self.round.bound)
        for j, key in zip(peers, keys, strict=True):
            if key is None:
                culprits = self.session.ids(self.round.signers(j))
                raise PeerMisbehaved("the server relays a public key of low order", culprits)
            found.append(key)
        return found

    def _seal(self, holder: int, secret: bytes, pair: bytes) -> bytes:
        """A pair of shares, under a key for this dealer, this holder and this round: it seals once."""
        data = derive.sealing_data(self.round.bound, self.me, holder)
        return sealing.seal(derive.sealing_key(secret, self.me, holder), pair, data)

    def _hashes(self, dealers: ArrayLike, holders: ArrayLike, pairs: Sequence[bytes]) -> NDArray[np.uint8]:
        """(n, 64): of each pair the hash of the seed share, then that of the key share."""
        table = _table(pairs)
        halves = ((True, table[:, 0]), (False, table[:, 1]))
        return np.hstack(
            [derive.share_hashes(self.round.bound, of_seed, dealers, holders, half) for of_seed, half in halves]
        )

    def _opened(
        self, dealers: Sequence[int], keys: Sequence[bytes], boxes: Sequence[bytes], hashes: bytes
    ) -> dict[int, bytes | None]:
        """{dealer: the pair that it sealed, or None where it is not what it published: one missing share}."""
        opened = {j: self._open(j, key, box) for j, key, box in zip(dealers, keys, boxes, strict=True)}
        pairs = [pair or bytes(2 * SHARE_SIZE) for pair in opened.values()]
        shares = np.ascontiguousarray(_table(pairs)[..., : shamir.SHARE_BYTES]).view("<u8")
        published = np.frombuffer(hashes, np.uint8).reshape(-1, 2 * HASH_SIZE)
        as_published = (self._hashes(dealers, self.me, pairs) == published).all(axis=1)
        sound = as_published & shamir.are_limbs(shares).all(axis=1)
        return {j: pair if is_sound else None for (j, pair), is_sound in zip(opened.items(), sound, strict=True)}

    def _open(self, dealer: int, key: bytes, box: bytes) -> bytes | None:
        """The pair that `dealer` sealed, or None where the box does not open."""
        try:
            return sealing.open_sealed(key, box, derive.sealing_data(self.round.bound, dealer, self.me))
        except PeerMisbehaved:
            return None

    def _mask_seeds(self, stage: Dealt, dealers: Sequence[int], publics: Sequence[bytes]) -> list[bytes]:
        """AES keys of the self-mask, then of each dealer's pairwise mask."""
        shared = self._agree(derive.MASK, stage.mask, dealers, publics)
        return [derive.self_mask_seed(self.round.bound, stage.seed), *map(derive.mask_seed, shared)]

    def _mask(self, vector: Lanes, seeds: Sequence[bytes], dealers: Sequence[int]) -> Lanes:
        """vector + PRG(self) + sum of +-PRG(pair): plus towards higher indices, minus towards lower."""
        signs = np.array([1, *(1 if self.me < j else -1 for j in dealers)], np.int8)
        masked = vector.copy()
        prg.add_masks(masked, np.frombuffer(b"".join(seeds), np.uint8).reshape(-1, prg.SEED_BYTES), signs)
        return masked

    def _submitted(self, pairs: Mapping[int, bytes | None], neighbours: Sequence[int], stage: Dealt) -> Submitted:
        """Others' shares, and who cannot be a contributor; of this client's own secrets nothing."""
        known, n = sorted(pairs), self.round.n
        elsewhere = range(n) if self.round.parameters.complete else neighbours
        silent = {j for j in elsewhere if j not in pairs and j != self.me}
        return Submitted(
            dealers=pack_indices(known),
            absent=pack_indices(sorted(silent.union(unpack_indices(stage.absent, n)))),
            held=pack_bits([pairs[j] is not None for j in known]),
            shares=b"".join(pairs[j] or bytes(2 * SHARE_SIZE) for j in known),
            view=stage.view,
            agreed=b"",
        )


def prepare(slot: RoundSlot, seat: Seat) -> tuple[messages.Keys, bytes]:
    """Two fresh key pairs before their session: the advertisement, signed where the seat has credentials, and the
    client's state that goes on from it.
    """
    stage = Ready(*_fresh_keys(seat))
    publics, signature = _publics(stage), b""
    if seat.credentials is not None:
        signature = seat.credentials.sign(derive.prepared_advertisement(slot.digest, publics))
    return messages.Keys(publics[:KEY_SIZE], publics[KEY_SIZE:], signature), codec.encode(Saved(stage))


def _fresh_keys(seat: Seat) -> tuple[bytes, bytes]:
    return agreement.generate(seat.entropy), agreement.generate(seat.entropy)


def _publics(stage: Advertised | Ready) -> bytes:
    """Sealing key, mask key."""
    return agreement.public_key(stage.sealing) + agreement.public_key(stage.mask)


def _table(pairs: Sequence[bytes]) -> NDArray[np.uint8]:
    """(n, 2, SHARE_SIZE): of each pair the seed share and the key share, salts included."""
    return np.frombuffer(b"".join(pairs), np.uint8).reshape(-1, 2, SHARE_SIZE)
