"""A server chooses who the victim's neighbours are: colluders only, who know all its masks and hold all its shares
(Bell et al. 2020, on malicious servers: the graph must be drawn after the keys are fixed, and by the clients).

It can name the neighbours, where clients take them from it; hide honest clients from the victim, so that the graph is
drawn among colluders; or leave advertisements out until the draw pleases it. The first works against a twin. The second
is bounded by the fewest advertisements that a client draws from, the third by 64 bits more of sigma.
"""

import os

import numpy as np
import pytest
from attacker import UPDATES, LyingServer, assert_is_update_of, pair_key, statement_of
from twins import TakesNamedNeighbours

from secagg.api import Participant
from secagg.errors import PeerMisbehaved, TooFew
from secagg.primitives import agreement, sealing, signing
from secagg.scheme import Credentials, Roster, Seat, Session
from secagg.testing import TestRound, opened
from secagg_protocols import PROTOCOLS, PairwiseMasking
from secagg_protocols.pairwise import derive, messages
from secagg_protocols.pairwise.neighbourhoods import Neighbourhoods

CLIENTS = 1000
CORRUPT = 0.1
OPTIONS = {"neighbours": 60, "adversary": "active", "corrupt": CORRUPT, "sigma": 1}
VICTIM = 0
COLLUDERS = range(1, 1 + int(CORRUPT * CLIENTS))  # no more than the options allow for
PARAMETERS = PairwiseMasking(**OPTIONS).parameters(Session.create(range(CLIENTS), UPDATES[0]))


class Colluders:
    """Their keys and identities, which the server knows."""

    def __init__(self):
        draw = np.random.default_rng(5)
        self.identity = {i: draw.bytes(32) for i in (VICTIM, *COLLUDERS)}
        self.private = {i: (draw.bytes(32), draw.bytes(32)) for i in COLLUDERS}
        self.public = {i: tuple(map(agreement.public_key, keys)) for i, keys in self.private.items()}
        keys = {i: signing.public_key(private) for i, private in self.identity.items()}
        self.roster = Roster({i: keys.get(i) or draw.bytes(32) for i in range(CLIENTS)})


CREW = Colluders()


def begin(scheme):
    """The victim has advertised."""
    session = Session.create(range(CLIENTS), UPDATES[0])
    credentials = Credentials(CREW.identity[VICTIM], CREW.roster)
    victim = Participant(scheme, session, Seat(VICTIM, credentials=credentials))
    server = LyingServer(scheme, session, {VICTIM: victim}, CREW.roster)
    server.ask(VICTIM, "keys", messages.AskKeys())
    return server


def show(server, colluders):
    """The victim's own advertisement and those of some colluders, each signed by its owner."""
    own = server.keys(VICTIM)
    keys, signatures = [own.sealing + own.mask], [own.signature]
    for i in colluders:
        keys.append(b"".join(CREW.public[i]))
        signatures.append(
            signing.sign(
                CREW.identity[i],
                statement_of(server.session, i, keys[-1]),
            )
        )
    server.ask(
        VICTIM,
        "shares",
        messages.AskShares(messages.pack_indices([VICTIM, *colluders]), b"".join(keys), b"".join(signatures)),
    )


def vector_of_the_surrounded(server, neighbours):
    """The victim's vector, once all its neighbours are known to collude."""
    nothing = messages.AskMasked(
        derive.context_digest(server.session.context),
        messages.pack_indices(neighbours),
        bytes(messages.SEALED_SIZE * len(neighbours)),
        bytes(2 * messages.HASH_SIZE * len(neighbours)),
    )
    server.ask(VICTIM, "masked", nothing, UPDATES[VICTIM])
    own, dealt, rows = server.keys(VICTIM), opened(server.sent["shares", VICTIM], messages.Shares).sealed, {}
    for place, i in enumerate(neighbours):
        info = derive.pair_info(derive.SEALING, VICTIM, own.sealing, i, CREW.public[i][0])
        (shared,) = agreement.derive_many([CREW.private[i][0]], [own.sealing], [info], server.bound)
        box, data = (
            dealt[messages.SEALED_SIZE * place :][: messages.SEALED_SIZE],
            derive.sealing_data(server.bound, VICTIM, i),
        )
        rows[i] = sealing.open_sealed(derive.sealing_key(shared, VICTIM, i), box, data)[: messages.SHARE_SIZE]
    pairs = {
        i: pair_key(server.bound, CREW.private[i][1], (i, CREW.public[i][1]), (VICTIM, own.mask)) for i in neighbours
    }
    return server.bare(VICTIM, server.seed(VICTIM, rows), pairs)


def test_a_client_that_takes_the_neighbours_it_is_told_is_surrounded():
    server, named = begin(TakesNamedNeighbours(**OPTIONS)), COLLUDERS[:60]
    show(server, named)
    assert_is_update_of(VICTIM, vector_of_the_surrounded(server, list(named)))


def test_a_client_that_draws_from_any_few_is_surrounded():
    class Twin(PairwiseMasking):
        def parameters(self, session):
            parameters = super().parameters(session)
            return type(parameters)(parameters.complete, parameters.degree, parameters.threshold)

    server = begin(Twin(**OPTIONS))
    show(server, COLLUDERS)
    cohort = Neighbourhoods(advertisements(server), server.parameters)
    assert_is_update_of(VICTIM, vector_of_the_surrounded(server, cohort.neighbours[VICTIM]))


def advertisements(server):
    """As the victim saw them."""
    own = server.keys(VICTIM)
    shown = {VICTIM: own.sealing + own.mask + own.signature}
    for i in COLLUDERS:
        key = b"".join(CREW.public[i])
        shown[i] = key + signing.sign(
            CREW.identity[i],
            statement_of(server.session, i, key),
        )
    return shown


@pytest.mark.parametrize("shown", [50, 60, 61, 99, 100])
def test_a_client_refuses_to_draw_from_few(shown):
    server = begin(PairwiseMasking(**OPTIONS))
    with pytest.raises(PeerMisbehaved, match=f"shows keys of {shown + 1} parties: fewer than the 8") as error:
        show(server, COLLUDERS[:shown])
    assert not error.value.culprits
    assert ("shares", VICTIM) not in server.sent


def test_the_server_begins_no_round_that_clients_would_refuse():
    scheme = PairwiseMasking(**OPTIONS)
    round_ = scheme.server(Session.create(range(CLIENTS), UPDATES[0]), roster=CREW.roster)
    keys, fewest = scheme.phases[0], PARAMETERS.fewest_drawn
    keys.server.begin(round_).close(round_, keys.name, set(range(fewest)))
    with pytest.raises(TooFew) as error:
        keys.server.begin(round_).close(round_, keys.name, set(range(fewest - 1)))
    assert (error.value.phase, error.value.answered, error.value.needed) == ("keys", fewest - 1, fewest)


@pytest.mark.parametrize(("n", "corrupt"), [(1000, 0.05), (10_000, 0.05), (10_000, 0.1)])
def test_a_planned_graph_outlives_a_tenth_that_is_silent_at_keys(n, corrupt):
    parameters = PROTOCOLS["secagg+"](n, corrupt=corrupt, adversary="active").parameters(Session.create(range(n), 0.0))
    assert parameters.degree < parameters.fewest_drawn <= n - n // 10
    assert np.ceil(corrupt * n) < parameters.fewest_drawn


def draw_without(keys, left_out):
    return set(Neighbourhoods({i: key for i, key in keys.items() if i != left_out}, PARAMETERS).neighbours[VICTIM])


def test_leaving_one_advertisement_out_redraws_the_whole_graph():
    """Neighbours before and after have no more in common than two independent draws."""
    keys = {i: os.urandom(128) for i in range(CLIENTS)}
    before = draw_without(keys, CLIENTS)
    common = [len(before & draw_without(keys, left_out)) for left_out in range(100, 150)]
    k = PARAMETERS.degree
    expected = k * k / CLIENTS
    assert abs(np.mean(common) - expected) < 5 * np.sqrt(expected / len(common))
    assert max(common) < k / 3


def test_no_draw_of_many_comes_near_a_majority_of_colluders():
    keys = {i: os.urandom(128) for i in range(CLIENTS)}
    most = max(len(draw_without(keys, left_out) & set(COLLUDERS)) for left_out in range(100, 200))
    assert most < 2 * PARAMETERS.threshold - PARAMETERS.degree


def test_a_round_is_the_same_graph_at_both_ends():
    scheme = PairwiseMasking(neighbours=4, adversary="active", corrupt=0)
    updates = {i: UPDATES[i] for i in range(9)}
    out = TestRound(scheme, Session.create(updates, UPDATES[0]), updates, lost={8: "keys"}).run()
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in range(8)))
