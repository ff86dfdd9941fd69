"""Where a phase's time goes: the named functions of a round carry stopwatches while it runs."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, Self
from unittest.mock import patch

PARTS: dict[str, tuple[str, ...]] = {
    "mask streams": ("secagg.primitives.prg.add_masks",),
    "X25519 and HKDF of pairs": ("secagg.primitives.agreement.derive_many",),
    "X25519 of single keys": (
        "secagg.primitives.agreement.public_key",
        "secagg.primitives.agreement.shared_secret",
    ),
    "Shamir": ("secagg.primitives.shamir.split", "secagg.primitives.shamir.combine_many"),
    "hashes of shares": ("secagg_protocols.pairwise.derive.share_hashes",),
    "relay and lookup of rows": (
        "secagg_protocols.pairwise.server.PairwiseServer._ask_masked",
        "secagg_protocols.pairwise.neighbourhoods.Turned.of",
    ),
    "sealing and opening": ("secagg.primitives.sealing.seal", "secagg.primitives.sealing.open_sealed"),
    "keys for sealing": ("secagg_protocols.pairwise.derive.sealing_key",),
    "quantize": ("secagg.kernels.quantize.quantize", "secagg.kernels.quantize.first_not_finite"),
    "pack": ("secagg_protocols.pairwise.party.pack",),
    "unpack and add": ("secagg_protocols.pairwise.server.add_packed",),
    "Paillier keys and their proofs": (
        "secagg.primitives.paillier.generate",
        "secagg.primitives.paillier.prove_key",
        "secagg_protocols.paillier.server.check_key",
    ),
    "Paillier encryption": ("secagg.primitives.paillier.keys.PublicKey.encrypt",),
    "sums of Paillier ciphertexts": (
        "secagg.primitives.paillier.keys.PublicKey.read_ciphertexts",
        "secagg.primitives.modular.Accumulator.multiply",
    ),
    "opening of Paillier sums": (
        "secagg_protocols.paillier.opening.SingleOpening.open",
        "secagg_protocols.paillier.opening.SingleOpening.check",
    ),
    "CKKS keys from their seeds": ("secagg.primitives.ckks.SecretKey.__init__",),
    "CKKS encryption": ("secagg.primitives.ckks.SecretKey.encrypt",),
    "sums of CKKS ciphertexts": ("secagg.primitives.ckks.Masks.add", "secagg.primitives.ckks.add"),
    "opening of CKKS sums": ("secagg.primitives.ckks.SecretKey.decrypt",),
    "coefficients packed and unpacked": (
        "secagg_protocols.ckks.residues.pack",
        "secagg_protocols.ckks.residues.unpack",
    ),
    "frames and their checksums": ("secagg.wire.frame.wrap", "secagg.wire.frame.unwrap"),
    "message codec": ("secagg.wire.codec.encode", "secagg.wire.codec.decode"),
}
"""Part of the work: the functions that do it. Where one calls another, the time is the caller's."""
REST = "everything else"
NOBODY = ("", "")
"""Whose work it is outside `charged`: not counted."""


class Parts:
    """Seconds in each part, by phase and role.

    Attributes:
        busy: {(phase, role, part): seconds}; `REST` is what was left of the wall time in the caller's thread, where it
            also waits for other threads.
    """

    def __init__(self) -> None:
        self.busy: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._now = NOBODY
        self._here = 0.0  # seconds in parts since `charged` began, in its own thread
        self._thread = threading.local()  # .inside: whether a watched function is running in it
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for part, names in PARTS.items():
            for name in names:
                self._watch(name, part)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def charged(self, phase: str, role: str) -> Iterator[None]:
        """What runs now is this role's work in this phase."""
        self._now, self._here = (phase, role), 0.0
        start = perf_counter()
        yield
        self.busy[phase, role, REST] += perf_counter() - start - self._here
        self._now = NOBODY

    def _watch(self, name: str, part: str) -> None:
        watched = patch(name, autospec=False)
        owner, attribute = watched.getter(), watched.attribute
        function = getattr(owner, attribute)
        self._stack.enter_context(patch.object(owner, attribute, self._timed(function, part)))

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        home = threading.get_ident()

        def timed(*arguments: Any, **named: Any) -> Any:
            if self._now == NOBODY or getattr(self._thread, "inside", False):
                return function(*arguments, **named)
            self._thread.inside = True
            start = perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._thread.inside = False
                taken = perf_counter() - start
                self.busy[(*self._now, part)] += taken
                if threading.get_ident() == home:
                    self._here += taken

        return timed
