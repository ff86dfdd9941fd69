"""One client of pairwise masking.

Bonawitz et al. 2017, Fig. 4, the client's side of rounds 0 (keys), 1 (shares), 2 (masked) and 4 (unmask); Bell et
al. 2020, Protocol 3, where neighbours are few.
"""

from collections.abc import Sequence

import numpy as np

from secagg.encoding.packing import pack
from secagg.encoding.ring import Lanes
from secagg.errors import LocalMisuse, PeerMisbehaved, WireError
from secagg.primitives import agreement, prg, sealing, shamir
from secagg.scheme import PartySide, Policy, Session, Sum
from secagg.scheme.machine import Entropy
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SALT_SIZE,
    SEALED_SIZE,
    SHARE_SIZE,
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
    unpack_bits,
    unpack_indices,
)
from secagg_protocols.pairwise.stages import Advertised, Dealt, Finished, Fresh, Saved, Stage, Submitted
from secagg_protocols.pairwise.terms import Terms


class PairwiseParty(PartySide):
    """The client numbered `me`; `bound` and `context` (32 bytes each) say what it believes the round is about."""

    def __init__(
        self,
        session: Session,
        me: int,
        terms: Terms,
        bound: bytes,
        context: bytes,
        policy: Policy,
        entropy: Entropy,
        saved: bytes | None = None,
    ) -> None:
        self._session = session
        self._me = me
        self._terms = terms
        self._bound = bound
        self._context = context
        self._policy = policy
        self._entropy = entropy
        self._stage: Stage = Fresh() if saved is None else codec.decode(saved, Saved).stage

    def answer(self, ask: Message, vector: Lanes | None) -> tuple[Message | None, Sum | None]:
        """One phase's reply; this party learns no result."""
        reply: Message
        stage: Stage
        match ask, self._stage:
            case AskKeys(), Fresh():
                reply, stage = self._advertise()
            case AskShares(), Advertised() as advertised:
                reply, stage = self._deal(ask, advertised)
            case AskMasked(), Dealt() as dealt if vector is not None:
                reply, stage = self._submit(ask, dealt, vector)
            case AskUnmask(), Submitted() as submitted:
                reply, stage = self._unmask(ask, submitted)
            case _:
                raise LocalMisuse(f"{type(ask).__name__} after stage {type(self._stage).__name__}")
        self._stage = stage
        return reply, None

    def save(self) -> bytes:
        """The current stage."""
        return codec.encode(Saved(self._stage))

    def _advertise(self) -> tuple[Keys, Advertised]:
        """Bonawitz et al. 2017, Fig. 4, Round 0: two fresh key pairs."""
        stage = Advertised(agreement.generate(self._entropy), agreement.generate(self._entropy))
        return Keys(agreement.public_key(stage.sealing), agreement.public_key(stage.mask)), stage

    def _deal(self, ask: AskShares, stage: Advertised) -> tuple[Shares, Dealt]:
        """Fig. 4, Round 1: share the mask key and a fresh self-mask seed, sealed to each neighbour."""
        neighbours = unpack_indices(ask.neighbours, len(self._session.parties))
        keys = rows(ask.keys, 2 * KEY_SIZE, len(neighbours), "public keys")
        sealing_keys, mask_keys = [key[:KEY_SIZE] for key in keys], [key[KEY_SIZE:] for key in keys]
        self._check_neighbours(neighbours, stage, sealing_keys + mask_keys)

        seed = self._entropy(32)
        pairs = self._split(seed, stage.mask, self._with_me(neighbours))
        shared = self._agree(derive.SEALING, stage.sealing, neighbours, sealing_keys)
        sealed = [
            sealing.seal(
                derive.sealing_key(secret, self._me, j),
                pairs[j],
                derive.sealing_data(self._bound, self._me, j),
            )
            for j, secret in zip(neighbours, shared, strict=True)
        ]
        reply = Shares(
            context=self._context,
            commitment=derive.commitment(self._bound, seed),
            sealed=b"".join(sealed),
            hashes=b"".join(self._hashes(self._me, j, pair) for j, pair in pairs.items()),
        )
        opening = (derive.sealing_key(secret, j, self._me) for j, secret in zip(neighbours, shared, strict=True))
        dealt = Dealt(
            mask=stage.mask,
            seed=seed,
            neighbours=ask.neighbours,
            mask_keys=b"".join(mask_keys),
            opening_keys=b"".join(opening),
            own=pairs.get(self._me, b""),
        )
        return reply, dealt

    def _submit(self, ask: AskMasked, stage: Dealt, vector: Lanes) -> tuple[Masked, Submitted]:
        """Fig. 4, Round 2: open the shares, add the self-mask and one mask a neighbour."""
        n = len(self._session.parties)
        neighbours = unpack_indices(stage.neighbours, n)
        dealers = unpack_indices(ask.dealers, n)
        self._check_dealers(dealers, neighbours)
        place = {j: i for i, j in enumerate(neighbours)}
        opening = rows(stage.opening_keys, KEY_SIZE, len(neighbours), "opening keys")
        public = rows(stage.mask_keys, KEY_SIZE, len(neighbours), "mask keys")
        sealed = rows(ask.sealed, SEALED_SIZE, len(dealers), "sealed shares")
        hashes = rows(ask.hashes, 2 * HASH_SIZE, len(dealers), "share hashes")

        pairs = {
            j: self._open(j, opening[place[j]], box, digest)
            for j, box, digest in zip(dealers, sealed, hashes, strict=True)
        }
        if self._terms.complete:
            pairs[self._me] = stage.own
        masked = self._mask(vector, stage, dealers, [public[place[j]] for j in dealers])
        known = sorted(pairs)
        elsewhere = range(n) if self._terms.complete else neighbours
        submitted = Submitted(
            dealers=pack_indices(known),
            absent=pack_indices(j for j in elsewhere if j not in pairs and j != self._me),
            held=pack_bits([pairs[j] is not None for j in known]),
            shares=b"".join(pairs[j] or bytes(2 * SHARE_SIZE) for j in known),
        )
        return Masked(pack(masked, self._session.ring)), submitted

    def _unmask(self, ask: AskUnmask, stage: Submitted) -> tuple[Unmask, Finished]:
        """Fig. 4, Round 4: of each dealer one share, the seed's if it contributed, the mask key's if not."""
        n = len(self._session.parties)
        contributed = unpack_bits(ask.contributors, n)
        if not contributed[self._me]:
            raise PeerMisbehaved("the server asks for shares but leaves this party's vector out of the sum")
        count = int(contributed.sum())
        self._policy.check_cohort(count)
        if count < self._terms.least_cohort:
            raise PeerMisbehaved(
                f"the server asks to unmask a sum of {count}: fewer than the {self._terms.least_cohort} "
                "that the threshold demands"
            )
        absent = unpack_indices(stage.absent, n)
        if contributed[absent].any():
            raise PeerMisbehaved("the server counts a party as contributor whose shares it never relayed")
        dealers = unpack_indices(stage.dealers, n)
        held = unpack_bits(stage.held, len(dealers))
        pairs = rows(stage.shares, 2 * SHARE_SIZE, len(dealers), "held shares")
        shares = [
            pair[:SHARE_SIZE] if contributed[j] else pair[SHARE_SIZE:]
            for j, pair, sound in zip(dealers, pairs, held, strict=True)
            if sound
        ]
        return Unmask(stage.held, b"".join(shares)), Finished()

    def _check_neighbours(self, neighbours: Sequence[int], stage: Advertised, keys: Sequence[bytes]) -> None:
        own = {agreement.public_key(stage.sealing), agreement.public_key(stage.mask)}
        if self._me in neighbours:
            raise PeerMisbehaved("the server names this party as its own neighbour")
        if len(neighbours) > self._terms.degree:
            raise PeerMisbehaved(f"{len(neighbours)} neighbours: the session's graph has {self._terms.degree}")
        if len({*keys, *own}) != len(keys) + 2:
            raise PeerMisbehaved("the server relays one public key twice, or this party's own")
        self._check_holders(neighbours)

    def _check_dealers(self, dealers: Sequence[int], neighbours: Sequence[int]) -> None:
        if not set(dealers) <= set(neighbours):
            raise PeerMisbehaved("the server relays shares of a party that is no neighbour")
        self._check_holders(dealers)

    def _check_holders(self, neighbours: Sequence[int]) -> None:
        holders = len(self._with_me(neighbours))
        if holders < self._terms.threshold:
            raise PeerMisbehaved(f"{holders} holders of this party's shares, {self._terms.threshold} needed")
        if self._terms.complete:
            self._policy.check_cohort(holders)

    def _with_me(self, neighbours: Sequence[int]) -> list[int]:
        """Who holds shares of this client's secrets."""
        return sorted([*neighbours, self._me]) if self._terms.complete else list(neighbours)

    def _split(self, seed: bytes, private: bytes, holders: Sequence[int]) -> dict[int, bytes]:
        """{holder: seed share, salt, key share, salt}; the share point of a party is its index + 1."""
        secrets = np.frombuffer(seed + private, np.uint8).reshape(2, 32)
        shares = shamir.split(secrets, [j + 1 for j in holders], self._terms.threshold, self._entropy)
        salts = self._entropy(2 * SALT_SIZE * len(holders))
        pairs = {}
        for i, j in enumerate(holders):
            of_seed, of_key = (share.astype("<u8").tobytes() for share in shares[j + 1])
            salt = salts[2 * SALT_SIZE * i :][: 2 * SALT_SIZE]
            pairs[j] = of_seed + salt[:SALT_SIZE] + of_key + salt[SALT_SIZE:]
        return pairs

    def _agree(self, purpose: bytes, private: bytes, peers: Sequence[int], publics: Sequence[bytes]) -> list[bytes]:
        """The pair's key with each peer."""
        own = agreement.public_key(private)
        infos = [derive.pair_info(purpose, self._me, own, j, key) for j, key in zip(peers, publics, strict=True)]
        found = []
        keys = agreement.derive_many([private] * len(peers), publics, infos, self._bound)
        for j, key in zip(peers, keys, strict=True):
            if key is None:
                raise PeerMisbehaved("a public key of low order", {self._session.parties[j]})
            found.append(key)
        return found

    def _hashes(self, dealer: int, holder: int, pair: bytes) -> bytes:
        """Hash of the seed share, hash of the key share."""
        seed, key = pair[:SHARE_SIZE], pair[SHARE_SIZE:]
        return derive.share_hash(self._bound, derive.SEED_SHARE, dealer, holder, seed) + derive.share_hash(
            self._bound, derive.KEY_SHARE, dealer, holder, key
        )

    def _open(self, dealer: int, key: bytes, box: bytes, hashes: bytes) -> bytes | None:
        """The pair that `dealer` sealed, or None where it is not what the dealer published: one missing share."""
        try:
            pair = sealing.open_sealed(key, box, derive.sealing_data(self._bound, dealer, self._me))
            for share in (pair[:SHARE_SIZE], pair[SHARE_SIZE:]):
                shamir.from_bytes(share[: shamir.SHARE_BYTES])
        except (PeerMisbehaved, WireError):
            return None
        return pair if self._hashes(dealer, self._me, pair) == hashes else None

    def _mask(self, vector: Lanes, stage: Dealt, dealers: Sequence[int], publics: Sequence[bytes]) -> Lanes:
        """vector + PRG(self) + sum of +-PRG(pair): plus towards higher indices, minus towards lower."""
        shared = self._agree(derive.MASK, stage.mask, dealers, publics)
        seeds = [derive.self_mask_seed(self._bound, stage.seed), *map(derive.mask_seed, shared)]
        signs = np.array([1, *(1 if self._me < j else -1 for j in dealers)], np.int8)
        masked = vector.copy()
        prg.add_masks(masked, np.frombuffer(b"".join(seeds), np.uint8).reshape(-1, 16), signs)
        return masked
