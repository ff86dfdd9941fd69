"""Taking the masks off: shares come in, secrets come out, and what did not cancel is subtracted."""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.ring import Lanes
from secagg.errors import PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement, prg, shamir
from secagg.primitives.overlap import use_while_making
from secagg.scheme import Session
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import check_rows, unpack_bits
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import HASH_SIZE, SHARE_SIZE, Unmask

PAIRS_AT_ONCE = 1024
"""Pairs whose masks are added while the next ones' keys are agreed: 40 ms of agreement, and memory for any number."""

_Masks = tuple[NDArray[np.uint8], NDArray[np.int8]]
"""Seeds (k, 16) and signs (k,)."""


class _Saved(Message, frozen=True):
    """Which shares have come: their points (0 where none yet) and values; and which are missing."""

    points: bytes
    values: bytes
    missing: tuple[tuple[int, tuple[int, ...]], ...]


class Recovery:
    """Collects exactly `threshold` shares of each needed secret.

    Of a contributor that is its self-mask seed; of a member whose vector never came its mask key, if one of its
    neighbours contributed. Never both.

    Args:
        session, bound: the round.
        threshold: shares that open a secret.
        holders: {member: the members that hold shares of its secrets, ascending}; a symmetric relation.
        contributors: members whose vectors are in the sum.
        hashes_for: holder to (d, 64) uint8, the two published hashes of the pair of shares of each of its dealers.

    Attributes:
        missing: {dealer: holders who say that its sealed shares did not open or fail their hashes}.
    """

    def __init__(
        self,
        session: Session,
        bound: bytes,
        threshold: int,
        holders: Mapping[int, list[int]],
        contributors: Set[int],
        hashes_for: Callable[[int], NDArray[np.uint8]],
    ) -> None:
        self._session = session
        self._bound = bound
        self._threshold = threshold
        self._holders = holders
        self._contributors = contributors
        self._hashes_for = hashes_for
        self._needed = [i for i in sorted(holders) if i in contributors or not contributors.isdisjoint(holders[i])]
        self.missing: dict[int, list[int]] = {}
        n = len(session.parties)
        self._row = np.full(n, -1, np.int64)  # of each member's secret, -1 where it is not needed
        self._row[self._needed] = range(len(self._needed))
        self._contributed = np.zeros(n, np.bool_)
        self._contributed[list(contributors)] = True
        self._count = np.zeros(len(self._needed), np.int64)
        self._points = np.zeros((len(self._needed), threshold), np.uint64)
        self._values = np.zeros((len(self._needed), threshold, shamir.LIMBS), np.uint64)

    def check_reachable(self, phase: str, least_cohort: int, answering: Set[int]) -> None:
        """Raise TooFew if those who will be asked cannot open all needed secrets, whatever they answer."""
        if not answering:
            raise TooFew(phase, 0, least_cohort)
        left = [sum(holder in answering for holder in self._holders[i]) for i in self._needed]
        if min(left) < self._threshold:
            raise TooFew(phase, min(left), self._threshold, "holders of the scarcest secret answered")

    def absorb(self, holder: int, reply: Unmask) -> None:
        """Check all of one holder's shares against their dealers' hashes, then keep what is still needed."""
        every = self._holders[holder]
        held = unpack_bits(reply.held, len(every))
        check_rows(reply.shares, SHARE_SIZE, int(held.sum()), "shares")
        dealers = np.array(every, np.int64)[held]
        table = np.frombuffer(reply.shares, np.uint8).reshape(-1, SHARE_SIZE)
        self._check_hashes(dealers, holder, table, self._hashes_for(holder)[held])
        values = np.ascontiguousarray(table[:, : shamir.SHARE_BYTES]).view("<u8").astype(np.uint64, copy=False)
        shamir.check_limbs(values)
        self._keep(dealers, holder, values)
        for dealer, is_held in zip(every, held, strict=True):
            if not is_held:
                self.missing.setdefault(dealer, []).append(holder)

    def open(self, phase: str, commitments: Mapping[int, bytes], mask_keys: Mapping[int, bytes]) -> dict[int, bytes]:
        """{member: its seed if it contributed, else its mask key}, each checked against what its owner published.

        Raises TooFew, or PeerMisbehaved naming the dealers of secrets that do not match.
        """
        least = int(self._count.min())
        if least < self._threshold:
            raise TooFew(phase, least, self._threshold, "holders of the scarcest secret answered")
        secrets, consistent = shamir.combine_many(self._points, self._values)
        opened = {i: secrets[row].tobytes() for row, i in enumerate(self._needed)}
        misdealt = {
            i
            for i, secret in opened.items()
            if not consistent[self._row[i]]
            or (
                derive.commitment(self._bound, secret) != commitments[i]
                if i in self._contributors
                else agreement.public_key(secret) != mask_keys[i]
            )
        }
        if misdealt:
            parties = frozenset(self._session.parties[i] for i in misdealt)
            raise PeerMisbehaved(f"secrets dealt wrongly by {sorted(parties, key=str)}: the sum stays masked", parties)
        return opened

    def unmask(self, accumulator: Lanes, opened: Mapping[int, bytes], mask_keys: Mapping[int, bytes]) -> None:
        """Subtract, in place, the self-masks of contributors and their masks with members that were lost."""
        seeds = [derive.self_mask_seed(self._bound, opened[i]) for i in sorted(self._contributors)]
        prg.add_masks(accumulator, *_table(seeds, [-1] * len(seeds)))
        pairs = [
            (lost, i)
            for lost in self._needed
            if lost not in self._contributors
            for i in self._holders[lost]
            if i in self._contributors
        ]
        batches = (pairs[first : first + PAIRS_AT_ONCE] for first in range(0, len(pairs), PAIRS_AT_ONCE))
        use_while_making(
            [partial(self._pair_masks, batch, opened, mask_keys) for batch in batches],
            lambda masks: prg.add_masks(accumulator, *masks),
        )

    def _pair_masks(
        self, pairs: Sequence[tuple[int, int]], opened: Mapping[int, bytes], mask_keys: Mapping[int, bytes]
    ) -> _Masks:
        """The masks of pairs of a lost member and a contributor, with the signs that take them off the sum."""
        infos = [derive.pair_info(derive.MASK, lost, mask_keys[lost], i, mask_keys[i]) for lost, i in pairs]
        shared = agreement.derive_many(
            [opened[lost] for lost, _ in pairs], [mask_keys[i] for _, i in pairs], infos, self._bound
        )
        seeds = []
        for (_, i), key in zip(pairs, shared, strict=True):
            if key is None:
                raise PeerMisbehaved("a public key of low order", {self._session.parties[i]})
            seeds.append(derive.mask_seed(key))
        return _table(seeds, [-1 if i < lost else 1 for lost, i in pairs])

    def save(self) -> bytes:
        """The shares that have come; they open secrets."""
        missing = tuple((dealer, tuple(holders)) for dealer, holders in self.missing.items())
        return codec.encode(_Saved(self._points.tobytes(), self._values.tobytes(), missing))

    def load(self, saved: bytes) -> None:
        """The inverse of `save`, on a fresh object with the same arguments. Raises WireError for another size."""
        state = codec.decode(saved, _Saved)
        if len(state.points) != self._points.nbytes or len(state.values) != self._values.nbytes:
            raise WireError("saved shares of another round")
        self._points[:] = np.frombuffer(state.points, np.uint64).reshape(self._points.shape)
        self._values[:] = np.frombuffer(state.values, np.uint64).reshape(self._values.shape)
        self._count[:] = (self._points > 0).sum(axis=1)
        self.missing = {dealer: list(holders) for dealer, holders in state.missing}

    def _check_hashes(
        self, dealers: NDArray[np.int64], holder: int, shares: NDArray[np.uint8], published: NDArray[np.uint8]
    ) -> None:
        """Refuse shares, (d, size), that are not those that their dealers published in one of two hashes, (d, 64)."""
        of_seed = self._contributed[dealers]
        expected = np.where(of_seed[:, np.newaxis], published[:, :HASH_SIZE], published[:, HASH_SIZE:])
        wrong = (derive.share_hashes(self._bound, of_seed, dealers, holder, shares) != expected).any(axis=1)
        if wrong.any():
            dealer = self._session.parties[dealers[wrong][0]]
            raise PeerMisbehaved(
                f"a share of {dealer!r} that its dealer never published", {self._session.parties[holder]}
            )

    def _keep(self, dealers: NDArray[np.int64], holder: int, values: NDArray[np.uint64]) -> None:
        """Note the shares, (len(dealers), 5), of those secrets that still lack some."""
        row = self._row[dealers]
        wanted = row >= 0
        wanted[wanted] = self._count[row[wanted]] < self._threshold
        row = row[wanted]
        place = self._count[row]
        self._points[row, place] = holder + 1
        self._values[row, place] = values[wanted]
        self._count[row] += 1


def _table(seeds: Sequence[bytes], signs: Sequence[int]) -> _Masks:
    return np.frombuffer(b"".join(seeds), np.uint8).reshape(-1, prg.SEED_BYTES), np.array(signs, np.int8)
