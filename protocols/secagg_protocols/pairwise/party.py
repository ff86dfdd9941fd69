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
from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved
from secagg.primitives import agreement, prg, sealing, shamir
from secagg.primitives.entropy import draw
from secagg.scheme import Credentials, PartySide, Seat, Session, Sum
from secagg.scheme.context import check_theirs
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import check_rows, pack_bits, rows, unpack_bits
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.advertisement import SignedStatements, check_relayed, shown
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SALT_SIZE,
    SEALED_SIZE,
    SHARE_SIZE,
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
    unpack_indices,
)
from secagg_protocols.pairwise.neighbourhoods import neighbours_of
from secagg_protocols.pairwise.parameters import Parameters
from secagg_protocols.pairwise.stages import Advertised, Dealt, Finished, Fresh, Ready, Saved, Stage, Submitted


class PairwiseParty(PartySide):
    """The client numbered `me`.

    Args:
        session, seat, parameters: the round and whose machine it is; credentials count in active mode alone.
        bound: 32 bytes that stand for the round as this client sees it, see `derive.binding`.
        statements: what identities sign of their keys.
        saved: what `save` returned.
    """

    def __init__(
        self,
        session: Session,
        seat: Seat,
        parameters: Parameters,
        bound: bytes,
        statements: SignedStatements,
        saved: bytes | None = None,
    ) -> None:
        seat.policy.check_threshold(parameters.threshold)
        self._session = session
        self._seat = seat
        self._me = session.index(seat.party)
        self._parameters = parameters
        self._bound = bound
        self._statements = statements
        self._entropy = seat.entropy
        self._credentials = seat.credentials
        self._stage: Stage = Fresh() if saved is None else codec.decode(saved, Saved).stage

    def answer(self, ask: Message, vector: Lanes | None) -> tuple[Message | None, Sum | None]:
        """One phase's reply; this party learns no result."""
        reply, self._stage = self._answered(ask, vector)
        return reply, None

    def save(self) -> bytes:
        """The current stage."""
        return codec.encode(Saved(self._stage))

    def _answered(self, ask: Message, vector: Lanes | None) -> tuple[Message, Stage]:
        match ask, self._stage:
            case AskKeys(), Fresh() | Ready():
                return self._advertise()
            case AskShares(), Ready(sealing_key, mask_key):
                return self._deal(ask, Advertised(sealing_key, mask_key))
            case AskShares(), Advertised() as advertised:
                return self._deal(ask, advertised)
            case AskMasked(), Dealt() as dealt if vector is not None:
                return self._submit(ask, dealt, vector)
            case AskConsistency(), Submitted(agreed=b"") as submitted if self._credentials is not None:
                return self._agree_on(ask, submitted, self._credentials)
            case AskUnmask(), Submitted() as submitted:
                return self._unmask(ask, submitted)
            case _:
                raise LocalMisuse(f"{type(ask).__name__} after stage {type(self._stage).__name__}")

    def _advertise(self) -> tuple[Keys, Advertised]:
        """Bonawitz et al. 2017, Fig. 4, Round 0: two fresh key pairs."""
        stage = Advertised(agreement.generate(self._entropy), agreement.generate(self._entropy))
        sealing_key, mask_key = agreement.public_key(stage.sealing), agreement.public_key(stage.mask)
        if self._credentials is None:
            return Keys(sealing_key, mask_key, b""), stage
        statement = self._statements.of(self._me, sealing_key + mask_key, prepared=False)
        return Keys(sealing_key, mask_key, self._credentials.sign(statement), self._statements.context), stage

    def _deal(self, ask: AskShares, stage: Advertised) -> tuple[Shares, Dealt]:
        """Fig. 4, Round 1: share the mask key and a fresh self-mask seed, sealed to each neighbour."""
        advertised = self._advertised(ask, stage)
        neighbours = self._neighbours(advertised)
        keys = [advertised[j] for j in neighbours]
        sealing_keys, mask_keys = [key[:KEY_SIZE] for key in keys], [key[KEY_SIZE : 2 * KEY_SIZE] for key in keys]

        seed = draw(self._entropy, 32)
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
            context=self._statements.context,
            commitment=derive.commitment(self._bound, seed),
            sealed=b"".join(sealed),
            hashes=self._hashes(self._me, list(pairs), list(pairs.values())).tobytes(),
        )
        opening = (derive.sealing_key(secret, j, self._me) for j, secret in zip(neighbours, shared, strict=True))
        dealt = Dealt(
            mask=stage.mask,
            seed=seed,
            neighbours=pack_indices(neighbours),
            mask_keys=b"".join(mask_keys),
            opening_keys=b"".join(opening),
            own=pairs.get(self._me, b""),
            absent=pack_indices(self._without_keys(advertised)),
            view=derive.view_digest(ask.parties, ask.keys, ask.signatures),
        )
        return reply, dealt

    def _submit(self, ask: AskMasked, stage: Dealt, vector: Lanes) -> tuple[Masked, Submitted]:
        """Fig. 4, Round 2: open the shares, add the self-mask and one mask a neighbour."""
        check_theirs(ask.context, self._statements.context, "its neighbours")
        n = len(self._session.parties)
        neighbours = unpack_indices(stage.neighbours, n)
        dealers = unpack_indices(ask.dealers, n)
        self._check_dealers(dealers, neighbours)
        place = {j: i for i, j in enumerate(neighbours)}
        opening = rows(stage.opening_keys, KEY_SIZE, len(neighbours), "opening keys")
        public = rows(stage.mask_keys, KEY_SIZE, len(neighbours), "mask keys")
        sealed = rows(ask.sealed, SEALED_SIZE, len(dealers), "sealed shares")
        check_rows(ask.hashes, 2 * HASH_SIZE, len(dealers), "share hashes")

        pairs = self._opened(dealers, [opening[place[j]] for j in dealers], sealed, ask.hashes)
        if self._parameters.complete:
            pairs[self._me] = stage.own
        masked = self._mask(vector, stage, dealers, [public[place[j]] for j in dealers])
        known = sorted(pairs)
        elsewhere = range(n) if self._parameters.complete else neighbours
        silent = {j for j in elsewhere if j not in pairs and j != self._me}
        submitted = Submitted(
            dealers=pack_indices(known),
            absent=pack_indices(sorted(silent.union(unpack_indices(stage.absent, n)))),
            held=pack_bits([pairs[j] is not None for j in known]),
            shares=b"".join(pairs[j] or bytes(2 * SHARE_SIZE) for j in known),
            view=stage.view,
            agreed=b"",
        )
        return Masked(pack(masked, self._session.ring)), submitted

    def _agree_on(
        self, ask: AskConsistency, stage: Submitted, credentials: Credentials
    ) -> tuple[Consistency, Submitted]:
        """Fig. 4, Round 3: sign the contributor set, once."""
        self._check_contributors(ask.contributors, stage)
        statement = derive.agreement_on(self._bound, stage.view, ask.contributors)
        return Consistency(credentials.sign(statement)), msgspec.structs.replace(stage, agreed=ask.contributors)

    def _unmask(self, ask: AskUnmask, stage: Submitted) -> tuple[Unmask, Finished]:
        """Fig. 4, Round 4: of each dealer one share, the seed's if it contributed, the mask key's if not."""
        contributed = self._check_contributors(ask.contributors, stage)
        dealers = unpack_indices(stage.dealers, len(self._session.parties))
        self._check_agreement(ask, stage, dealers)
        held = unpack_bits(stage.held, len(dealers))
        pairs = rows(stage.shares, 2 * SHARE_SIZE, len(dealers), "held shares")
        shares = [
            pair[:SHARE_SIZE] if contributed[j] else pair[SHARE_SIZE:]
            for j, pair, sound in zip(dealers, pairs, held, strict=True)
            if sound
        ]
        self._seat.open_set(self._session, self._ids(contributed), gives_input=True)
        return Unmask(stage.held, b"".join(shares)), Finished()

    def _advertised(self, ask: AskShares, stage: Advertised) -> dict[int, bytes]:
        """{party: sealing key, mask key, signature}, each checked; in active mode of all who advertised."""
        own = agreement.public_key(stage.sealing) + agreement.public_key(stage.mask)
        roster = None if self._credentials is None else self._credentials.roster
        return shown(ask, self._me, own, self._statements, roster)

    def _without_keys(self, advertised: Mapping[int, bytes]) -> list[int]:
        """Who advertised no keys, where this client was shown all advertisements: in active mode."""
        if self._credentials is None:
            return []
        return [i for i in range(len(self._session.parties)) if i not in advertised]

    def _neighbours(self, advertised: Mapping[int, bytes]) -> list[int]:
        """As the server says, or in active mode as the graph over all advertisements says."""
        if self._credentials is None:
            neighbours = list(advertised)
        else:
            self._seat.policy.check_cohort(len(advertised))
            self._check_drawn(len(advertised))
            neighbours = neighbours_of(self._me, advertised, self._parameters)
        if len(neighbours) > self._parameters.degree:
            raise PeerMisbehaved(f"{len(neighbours)} neighbours: the session's graph has {self._parameters.degree}")
        self._check_holders(neighbours)
        return neighbours

    def _check_drawn(self, shown: int) -> None:
        """A server that hides honest clients leaves the corrupt ones, who would then be this client's neighbours."""
        if shown < self._parameters.fewest_drawn:
            raise PeerMisbehaved(
                f"the server shows keys of {shown} parties: fewer than the {self._parameters.fewest_drawn} among whom "
                "corrupt neighbours are few enough"
            )

    def _check_contributors(self, contributors: bytes, stage: Submitted) -> NDArray[np.bool_]:
        """One bit a party, (n,), if it is a set whose sum this client helps to open."""
        n = len(self._session.parties)
        contributed = unpack_bits(contributors, n)
        self._seat.check_set(self._session, self._ids(contributed), gives_input=True)
        count = int(contributed.sum())
        if count < self._parameters.least_cohort:
            raise PeerMisbehaved(
                f"the server asks to unmask a sum of {count}: fewer than the {self._parameters.least_cohort} "
                "that the threshold demands"
            )
        if contributed[unpack_indices(stage.absent, n)].any():
            raise PeerMisbehaved("the server counts a party as contributor whose shares it never relayed")
        return contributed

    def _check_agreement(self, ask: AskUnmask, stage: Submitted, dealers: Sequence[int]) -> None:
        """In active mode: `threshold` holders of this client's shares signed the very set that it signed.

        Each honest holder answers for one set only, and 2 * threshold exceeds all holders of any client's secrets
        with the corrupt ones counted twice, so no two sets both get `threshold` shares of one client.
        """
        signers = unpack_indices(ask.signers, len(self._session.parties))
        if self._credentials is None:
            check_rows(ask.signers, 4, 0, "signers in passive mode")
            check_rows(ask.signatures, SIGNATURE_SIZE, 0, "signatures in passive mode")
            return
        signatures = rows(ask.signatures, SIGNATURE_SIZE, len(signers), "signatures")
        if ask.contributors != stage.agreed:
            raise PeerMisbehaved("the server asks to unmask another set than this party signed")
        if not set(signers) <= set(dealers):
            raise PeerMisbehaved("the server shows the signature of a party that holds none of this party's shares")
        statement = derive.agreement_on(self._bound, stage.view, ask.contributors)
        for i, signature in zip(signers, signatures, strict=True):
            check_relayed(self._credentials.roster, self._session.parties[i], statement, signature)
        if len(signers) < self._parameters.threshold:
            raise PeerMisbehaved(
                f"{len(signers)} signatures of the contributor set, {self._parameters.threshold} needed"
            )

    def _ids(self, contributed: NDArray[np.bool_]) -> frozenset[PartyId]:
        return frozenset(self._session.parties[i] for i in np.flatnonzero(contributed))

    def _check_dealers(self, dealers: Sequence[int], neighbours: Sequence[int]) -> None:
        if not set(dealers) <= set(neighbours):
            raise PeerMisbehaved("the server relays shares of a party that is no neighbour")
        self._check_holders(dealers)

    def _check_holders(self, neighbours: Sequence[int]) -> None:
        holders = len(self._with_me(neighbours))
        if holders < self._parameters.threshold:
            raise PeerMisbehaved(f"{holders} holders of this party's shares, {self._parameters.threshold} needed")
        if self._parameters.complete:
            self._seat.policy.check_cohort(holders)

    def _with_me(self, neighbours: Sequence[int]) -> list[int]:
        """Who holds shares of this client's secrets."""
        return sorted([*neighbours, self._me]) if self._parameters.complete else list(neighbours)

    def _split(self, seed: bytes, private: bytes, holders: Sequence[int]) -> dict[int, bytes]:
        """{holder: seed share, salt, key share, salt}; the share point of a party is its index + 1."""
        secrets = np.frombuffer(seed + private, np.uint8).reshape(2, 32)
        shares = shamir.split(secrets, [j + 1 for j in holders], self._parameters.threshold, self._entropy)
        salts = draw(self._entropy, 2 * SALT_SIZE * len(holders))
        pairs = {}
        for i, j in enumerate(holders):
            of_seed, of_key = (share.astype("<u8").tobytes() for share in shares[j + 1])
            salt = salts[2 * SALT_SIZE * i :][: 2 * SALT_SIZE]
            pairs[j] = of_seed + salt[:SALT_SIZE] + of_key + salt[SALT_SIZE:]
        return pairs

    def _agree(self, purpose: bytes, private: bytes, peers: Sequence[int], publics: Sequence[bytes]) -> list[bytes]:
        """The pair's key with each peer. A key of low order is the fault of who signed it; unsigned, the server's."""
        own = agreement.public_key(private)
        infos = [derive.pair_info(purpose, self._me, own, j, key) for j, key in zip(peers, publics, strict=True)]
        found = []
        keys = agreement.derive_many([private] * len(peers), publics, infos, self._bound)
        for j, key in zip(peers, keys, strict=True):
            if key is None:
                signers = set() if self._credentials is None else {self._session.parties[j]}
                raise PeerMisbehaved("the server relays a public key of low order", signers)
            found.append(key)
        return found

    def _hashes(self, dealers: ArrayLike, holders: ArrayLike, pairs: Sequence[bytes]) -> NDArray[np.uint8]:
        """(n, 64): of each pair the hash of the seed share, then that of the key share."""
        table = _table(pairs)
        halves = ((True, table[:, 0]), (False, table[:, 1]))
        return np.hstack(
            [derive.share_hashes(self._bound, of_seed, dealers, holders, half) for of_seed, half in halves]
        )

    def _opened(
        self, dealers: Sequence[int], keys: Sequence[bytes], boxes: Sequence[bytes], hashes: bytes
    ) -> dict[int, bytes | None]:
        """{dealer: the pair that it sealed, or None where it is not what it published: one missing share}."""
        opened = {j: self._open(j, key, box) for j, key, box in zip(dealers, keys, boxes, strict=True)}
        pairs = [pair or bytes(2 * SHARE_SIZE) for pair in opened.values()]
        shares = np.ascontiguousarray(_table(pairs)[..., : shamir.SHARE_BYTES]).view("<u8")
        published = np.frombuffer(hashes, np.uint8).reshape(-1, 2 * HASH_SIZE)
        as_published = (self._hashes(dealers, self._me, pairs) == published).all(axis=1)
        sound = as_published & shamir.are_limbs(shares).all(axis=1)
        return {j: pair if is_sound else None for (j, pair), is_sound in zip(opened.items(), sound, strict=True)}

    def _open(self, dealer: int, key: bytes, box: bytes) -> bytes | None:
        """The pair that `dealer` sealed, or None where the box does not open."""
        try:
            return sealing.open_sealed(key, box, derive.sealing_data(self._bound, dealer, self._me))
        except PeerMisbehaved:
            return None

    def _mask(self, vector: Lanes, stage: Dealt, dealers: Sequence[int], publics: Sequence[bytes]) -> Lanes:
        """vector + PRG(self) + sum of +-PRG(pair): plus towards higher indices, minus towards lower."""
        shared = self._agree(derive.MASK, stage.mask, dealers, publics)
        seeds = [derive.self_mask_seed(self._bound, stage.seed), *map(derive.mask_seed, shared)]
        signs = np.array([1, *(1 if self._me < j else -1 for j in dealers)], np.int8)
        masked = vector.copy()
        prg.add_masks(masked, np.frombuffer(b"".join(seeds), np.uint8).reshape(-1, 16), signs)
        return masked


def _table(pairs: Sequence[bytes]) -> NDArray[np.uint8]:
    """(n, 2, SHARE_SIZE): of each pair the seed share and the key share, salts included."""
    return np.frombuffer(b"".join(pairs), np.uint8).reshape(-1, 2, SHARE_SIZE)
