"""Whatever a key, proof or signature is bound to changes it: no argument of a derivation is left out."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secagg_protocols.ckks import derive as ckks
from secagg_protocols.paillier import messages as paillier
from secagg_protocols.pairwise import derive as pairwise

DERIVATIONS = [
    pairwise.binding,
    pairwise.context_digest,
    pairwise.pair_info,
    pairwise.sealing_key,
    pairwise.sealing_data,
    pairwise.self_mask_seed,
    pairwise.commitment,
    pairwise.advertisement,
    pairwise.prepared_advertisement,
    pairwise.view_digest,
    pairwise.agreement_on,
    paillier.context_digest,
    paillier.deal_label,
    paillier.opening_label,
    ckks.binding,
    ckks.context_digest,
    ckks.sealing_info,
    ckks.sealing_data,
    ckks.commitment,
]
SHARE = np.arange(8, dtype=np.uint8)[np.newaxis]


def name(derivation: Callable[..., bytes]) -> str:
    return f"{derivation.__module__.removeprefix('secagg_protocols.')}.{derivation.__name__}"


def argument(place: int, kind: object) -> Any:
    """32 bytes, or an index; another one at each place."""
    return place + 1 if kind is int else bytes([place + 1]) * 32


@pytest.mark.parametrize("derivation", DERIVATIONS, ids=name)
def test_whatever_a_key_is_bound_to_changes_it(derivation: Callable[..., bytes]) -> None:
    """Each argument, one at a time; and two of a kind do not change places unseen."""
    kinds = [parameter.annotation for parameter in inspect.signature(derivation).parameters.values()]
    given = [argument(place, kind) for place, kind in enumerate(kinds)]
    made = {derivation(*given)}
    for place, kind in enumerate(kinds):
        made.add(derivation(*given[:place], argument(place + 100, kind), *given[place + 1 :]))
    assert len(made) == len(given) + 1
    for place in range(len(kinds) - 1):
        if kinds[place] == kinds[place + 1]:
            swapped = [*given[:place], given[place + 1], given[place], *given[place + 2 :]]
            assert derivation(*swapped) not in made


def test_none_is_forgotten() -> None:
    """All functions of the three modules that give bytes, but one that cuts them."""
    there = {
        name(function)
        for module in (pairwise, paillier, ckks)
        for function in vars(module).values()
        if inspect.isfunction(function) and inspect.signature(function).return_annotation is bytes
    }
    assert there - set(map(name, DERIVATIONS)) == {"pairwise.derive.mask_seed"}


@pytest.mark.parametrize(
    "other", [(b"B" * 32, True, 1, 2, SHARE), (b"b" * 32, False, 1, 2, SHARE), (b"b" * 32, True, 3, 2, SHARE),
              (b"b" * 32, True, 1, 3, SHARE), (b"b" * 32, True, 2, 1, SHARE), (b"b" * 32, True, 1, 2, SHARE + 1)],
)  # fmt: skip
def test_a_share_s_hash_is_bound_to_round_kind_dealer_holder_and_share(other: tuple[Any, ...]) -> None:
    assert (pairwise.share_hashes(b"b" * 32, True, 1, 2, SHARE) != pairwise.share_hashes(*other)).any()
