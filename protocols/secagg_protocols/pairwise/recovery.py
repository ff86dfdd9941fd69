"""Taking the masks off: shares come in, secrets come out, and what did not cancel is subtracted."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.ring import Lanes
from secagg.errors import PeerMisbehaved, TooFew
from secagg.primitives import agreement, prg, shamir
from secagg.primitives.overlap import use_while_making
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import HASH_SIZE, SHARE_SIZE
from secagg_protocols.pairwise.round import Round

PAIRS_AT_ONCE = 1024
"""Pairs whose masks are added while the next ones' keys are agreed: 40 ms of agreement, and memory for any number."""
SCARCEST = "holders of the scarcest secret answered"

_Masks = tuple[NDArray[np.uint8], NDArray[np.int8]]
"""Seeds (k, 16) and signs (k,)."""


@dataclass(frozen=True)
class Secrets:
    """Which secrets the server needs once the contributors are known, and who holds shares of them.

    Of a contributor that is its self-mask seed; of a member whose vector never came its mask key, if one of its
    neighbours contributed. Never both: a secret is needed once, and its owner is in or out.

    Attributes:
        round: of the members.
        holders: {member: the members that hold shares of its secrets, ascending}; a symmetric relation.
        contributors: members whose vectors are in the sum.
    """

    round: Round
    holders: Mapping[int, list[int]]
    contributors: Set[int]

    @cached_property
    def needed(self) -> list[int]:
        """Whose secrets, ascending: a row of `Shares` each."""
        holders, contributors = self.holders, self.contributors
        return [i for i in sorted(holders) if i in contributors or not contributors.isdisjoint(holders[i])]

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """(n,): of each party's secret, -1 where it is not needed."""
        row = np.full(self.round.n, -1, np.int64)
        row[self.needed] = range(len(self.needed))
        return row

    @cached_property
    def contributed(self) -> NDArray[np.bool_]:
        """(n,): whether a share of a party is to be of its seed."""
        contributed = np.zeros(self.round.n, np.bool_)
        contributed[list(self.contributors)] = True
        return contributed

    def check_reachable(self, phase: str, answering: Set[int]) -> None:
        """Raise TooFew if those who will be asked cannot open all needed secrets, whatever they answer."""
        parameters = self.round.parameters
        if not answering:
            raise TooFew(phase, 0, parameters.least_cohort)
        left = min(sum(holder in answering for holder in self.holders[i]) for i in self.needed)
        if left < parameters.threshold:
            raise TooFew(phase, left, parameters.threshold, SCARCEST)

    def check_published(
        self, dealers: NDArray[np.int64], holder: int, shares: NDArray[np.uint8], published: NDArray[np.uint8]
    ) -> None:
        """Refuse shares, (d, size), that are not those that their dealers published in one of two hashes, (d, 64)."""
        of_seed = self.contributed[dealers]
        expected = np.where(of_seed[:, np.newaxis], published[:, :HASH_SIZE], published[:, HASH_SIZE:])
        wrong = (derive.share_hashes(self.round.bound, of_seed, dealers, holder, shares) != expected).any(axis=1)
        if wrong.any():
            parties = self.round.session.parties
            raise PeerMisbehaved(
                f"a share of {parties[dealers[wrong][0]]!r} that its dealer never published", {parties[holder]}
            )

    def check_opened(
        self,
        opened: Mapping[int, bytes],
        unmatched: Set[int],
        commitments: Mapping[int, bytes],
        mask_keys: Mapping[int, bytes],
    ) -> None:
        """Raise PeerMisbehaved naming the dealers whose secrets are not what they published."""
        misdealt = unmatched | {
            i
            for i, secret in opened.items()
            if (
                derive.commitment(self.round.bound, secret) != commitments[i]
                if i in self.contributors
                else agreement.public_key(secret) != mask_keys[i]
            )
        }
        if misdealt:
            parties = self.round.session.ids(misdealt)
            raise PeerMisbehaved(f"secrets dealt wrongly by {sorted(parties, key=str)}: the sum stays masked", parties)

    def unmask(self, accumulator: Lanes, opened: Mapping[int, bytes], mask_keys: Mapping[int, bytes]) -> None:
        """Subtract, in place, the self-masks of contributors and their masks with members that were lost."""
        seeds = [derive.self_mask_seed(self.round.bound, opened[i]) for i in sorted(self.contributors)]
        prg.add_masks(accumulator, *_table(seeds, [-1] * len(seeds)))
        pairs = [
            (lost, i)
            for lost in self.needed
            if lost not in self.contributors
            for i in self.holders[lost]
            if i in self.contributors
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
            [opened[lost] for lost, _ in pairs], [mask_keys[i] for _, i in pairs], infos, self.round.bound
        )
        seeds = []
        for (_, i), key in zip(pairs, shared, strict=True):
            if key is None:
                raise PeerMisbehaved("a public key of low order", {self.round.session.parties[i]})
            seeds.append(derive.mask_seed(key))
        return _table(seeds, [-1 if i < lost else 1 for lost, i in pairs])


class Shares:
    """Exactly `threshold` shares of each needed secret, in memory that the server's state owns.

    Args:
        points: (needed, threshold) uint64, whose they are: index + 1, and 0 where none has come yet.
        values: (needed, threshold, 5) uint64, their limbs.
    """

    def __init__(self, points: NDArray[np.uint64], values: NDArray[np.uint64]) -> None:
        self._points = points
        self._values = values
        self._count = (points > 0).sum(axis=1)

    @staticmethod
    def sizes(needed: int, threshold: int) -> tuple[int, int]:
        """Bytes of points and values."""
        return 8 * needed * threshold, 8 * needed * threshold * shamir.LIMBS

    @classmethod
    def viewing(cls, points: bytearray, values: bytearray, threshold: int) -> "Shares":
        """Those in two byte arrays, which change with it."""
        shape = -1, threshold
        return cls(
            np.frombuffer(points, np.uint64).reshape(shape),
            np.frombuffer(values, np.uint64).reshape(*shape, shamir.LIMBS),
        )

    def keep(self, rows: NDArray[np.int64], holder: int, values: NDArray[np.uint64]) -> None:
        """Note the shares, (len(rows), 5), of those secrets that still lack some; row -1 is no secret."""
        wanted = rows >= 0
        wanted[wanted] = self._count[rows[wanted]] < self._points.shape[1]
        rows = rows[wanted]
        place = self._count[rows]
        self._points[rows, place] = holder + 1
        self._values[rows, place] = values[wanted]
        self._count[rows] += 1

    def merge(self, other: "Shares") -> None:
        """Those of other holders, as far as they are still needed."""
        for place in range(other._points.shape[1]):
            for row in np.flatnonzero(other._points[:, place]):
                holder = int(other._points[row, place]) - 1
                self.keep(np.array([row]), holder, other._values[row : row + 1, place])

    def open(self, phase: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """((needed, 32) secrets, (needed,) whether all limbs are a secret's). Raises TooFew."""
        least, threshold = int(self._count.min()), self._points.shape[1]
        if least < threshold:
            raise TooFew(phase, least, threshold, SCARCEST)
        return shamir.combine_many(self._points, self._values)


def read_shares(shares: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """((d, SHARE_SIZE) rows with their salts, (d, 5) limbs). Raises PeerMisbehaved for a limb outside the field."""
    table = np.frombuffer(shares, np.uint8).reshape(-1, SHARE_SIZE)
    values = np.ascontiguousarray(table[:, : shamir.SHARE_BYTES]).view("<u8").astype(np.uint64, copy=False)
    shamir.check_limbs(values)
    return table, values


def _table(seeds: Sequence[bytes], signs: Sequence[int]) -> _Masks:
    return np.frombuffer(b"".join(seeds), np.uint8).reshape(-1, prg.SEED_BYTES), np.array(signs, np.int8)
