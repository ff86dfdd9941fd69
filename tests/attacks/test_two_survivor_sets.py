"""A server tells each client another survivor set: where neighbours are few, everyone gives one share of each dealer
and still both secrets come out, of different clients (Bonawitz et al. 2017, Fig. 4, Round 3; Bell et al. 2020, 4).

The victim's neighbours each hear that they alone of its neighbours contributed. So the victim's neighbours open its
seed, their neighbours open their mask keys, and no mask of the victim is left. Passive mode is open to this, as the
threat model says; in active mode nobody reveals a share for a set that t holders have not signed.
"""

import pytest
from attacker import VICTIM, LyingServer, assert_is_update_of, bits, make_round, pair_key, play
from twins import SeesNoSignatures

from secagg.errors import PeerMisbehaved
from secagg.testing import opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, AskUnmask, Consistency, pack_indices

CLIENTS = 12
ACTIVE = {"neighbours": 4, "threshold": 3, "adversary": "active", "corrupt": 0}


def stories(near):
    """{client: the contributors that it hears of}."""
    far = set(range(CLIENTS)) - set(near)
    return {i: bits(far | {i}, CLIENTS) for i in range(CLIENTS)}


def opened_vector(server, near, neighbours):
    """The victim's vector, if its seed and all its neighbours' mask keys come out."""
    seed = server.seed(VICTIM, server.shares_of(VICTIM, near, neighbours))
    keys = {j: server.mask_key(j, server.shares_of(j, neighbours[j], neighbours)) for j in near}
    if seed is None or None in keys.values():
        return None
    own = VICTIM, server.keys(VICTIM).mask
    pairs = {j: pair_key(server.bound, key, (j, server.keys(j).mask), own) for j, key in keys.items()}
    return server.bare(VICTIM, seed, pairs)


def attack(scheme, phase, sign_the_story=False, show=None):
    """Each hears its own story at "unmask": the vector if it comes out, and why the victim's neighbours refuse."""
    round_ = play(make_round(scheme, CLIENTS), phase)
    server, refusals = LyingServer.of(round_), {}
    cohort = server.cohort()
    told = stories(cohort.neighbours[VICTIM])
    if scheme.authenticated:
        for i in range(CLIENTS):
            server.ask(i, "consistency", AskConsistency(told[i] if sign_the_story else bits(range(CLIENTS), CLIENTS)))
    for i in range(CLIENTS):
        signers = cohort.neighbours[i][: show or 3] if scheme.authenticated else []
        signatures = b"".join(opened(server.sent["consistency", j], Consistency).signature for j in signers)
        try:
            server.ask(i, "unmask", AskUnmask(told[i], pack_indices(signers), signatures))
        except PeerMisbehaved as error:
            refusals[i] = error
    near = cohort.neighbours[VICTIM]
    return opened_vector(server, near, cohort.neighbours), {i: refusals.get(i) for i in near}


def test_passive_mode_is_open_to_it():
    vector, refusals = attack(PairwiseMasking(neighbours=4, threshold=3), "unmask")
    assert not any(refusals.values())
    assert_is_update_of(VICTIM, vector)


def test_clients_that_look_at_no_signature_are_open_to_it():
    vector, _ = attack(SeesNoSignatures(**ACTIVE), "consistency", sign_the_story=True)
    assert_is_update_of(VICTIM, vector)


@pytest.mark.parametrize(
    ("sign_the_story", "show", "why"),
    [
        (False, 3, "another set than this party signed"),
        (True, 3, "signature does not verify"),
        (True, 2, "signature does not verify"),
    ],
)
def test_active_mode_reveals_nothing(sign_the_story, show, why):
    """Each of the victim's neighbours hears of a set that nobody else signs."""
    vector, refusals = attack(PairwiseMasking(**ACTIVE), "consistency", sign_the_story, show)
    assert vector is None
    for error in refusals.values():
        assert isinstance(error, PeerMisbehaved)
        assert why in str(error)
        assert not error.culprits  # the server
