"""A server gives the victim the model and the others one on which every gradient is zero, so that the sum is the
victim's update (Pasquini, Francati and Ateniese, "Eluding Secure Aggregation in Federated Learning via Model
Inconsistency", CCS 2022).
"""

import msgspec
import numpy as np
import pytest
from attacker import DIM, OTHERS, UPDATES, VICTIM, LyingServer, N, make_session
from twins import IgnoresItsModel

from secagg.api import Participant
from secagg.errors import InconsistentModel, PeerMisbehaved, TooFew
from secagg.scheme import Seat
from secagg.testing import TestRound, opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import KEY_SIZE, AskShares, Shares, pack_indices
from secagg_protocols.pairwise.server import Masking

ON_THE_CRAFTED_MODEL = np.zeros(DIM, np.uint16)


def make_round(scheme, **options):
    """All but the victim were given a crafted model, and say so."""
    session = make_session()
    updates = {i: UPDATES[i] if i == VICTIM else ON_THE_CRAFTED_MODEL for i in range(N)}
    round_ = TestRound(scheme, session, updates, **options)
    for i in OTHERS:
        credentials = round_.credentials.get(i)
        round_.participants[i] = Participant(scheme, session, Seat(i, context=b"crafted", credentials=credentials))
    return round_


def hiding_it(session_context_digest):
    """The server takes part in the lie: it relays the shares as if all models were one."""
    return lambda phase, _, m: rewritten(m, Shares, context=session_context_digest) if phase == "shares" else m


@pytest.fixture
def agreeing_with_everyone(monkeypatch):
    """And it tells each party that its neighbours have the model it has."""
    asks = Masking.asks

    def lie(self, round, alive):
        theirs = derive.context_digest(b"crafted")
        return {
            i: ask if i == VICTIM else msgspec.structs.replace(ask, context=theirs)
            for i, ask in asks(self, round, alive).items()
        }

    monkeypatch.setattr(Masking, "asks", lie)


def honest_digest():
    round_ = make_round(PairwiseMasking())
    round_.step()
    round_.exchange()
    return opened(round_.sent["shares", VICTIM], Shares).context


def test_parties_that_do_not_bind_their_model_are_open_to_it():
    out = make_round(IgnoresItsModel()).run()
    assert out.contributors == set(range(N))
    np.testing.assert_array_equal(out.ring_sum, UPDATES[VICTIM])


@pytest.mark.parametrize(("adversary", "phase"), [("passive", "shares"), ("active", "keys")])
def test_an_honest_server_names_the_odd_ones(adversary, phase):
    """In active mode as soon as they speak: what they received is in what they sign."""
    round_ = make_round(PairwiseMasking(adversary=adversary))
    with pytest.raises(TooFew) as error:
        round_.run()
    assert error.value.phase == phase
    assert set(round_.coordinator.misbehaved) == set(OTHERS)
    assert "received another model" in round_.coordinator.misbehaved[0]


def test_a_party_names_both_digests_where_its_neighbours_have_another_model():
    round_ = make_round(PairwiseMasking(), replies=hiding_it(honest_digest()))
    with pytest.raises(TooFew):
        round_.run()
    for i in OTHERS:
        error = round_.refusals[i]
        assert isinstance(error, InconsistentModel)
        assert derive.context_digest(b"crafted").hex()[:16] in str(error)
        assert honest_digest().hex()[:16] in str(error)
        assert ("masked", i) not in round_.sent


@pytest.mark.usefixtures("agreeing_with_everyone")
def test_a_server_that_hides_it_cannot_open_the_victims_mask():
    """The victim's share of itself is the most that it gets of the victim's seed."""
    round_ = make_round(PairwiseMasking(), replies=hiding_it(honest_digest()))
    with pytest.raises(TooFew) as error:
        round_.run()
    assert (error.value.phase, error.value.needed) == ("unmask", 5)
    assert round_.coordinator.result is None
    server = LyingServer.of(round_)
    rows = server.shares_of(VICTIM, range(N), {i: list(range(N)) for i in range(N)})
    assert set(rows) <= {VICTIM}  # nobody else could open what the victim dealt
    assert server.seed(VICTIM, rows) is None
    total = sum(server.masked(i).astype(np.uint64) for i in range(N)) % 2**round_.session.ring.bits
    assert (total[:DIM] != UPDATES[VICTIM]).any()


def test_in_active_mode_they_do_not_take_each_others_keys():
    """Whatever the server says, each finds signatures of what it did not receive, and deals nothing."""
    round_ = make_round(PairwiseMasking(adversary="active"))
    round_.exchange()
    server = LyingServer.of(round_)
    shown = server.advertised()
    ask = AskShares(
        pack_indices(range(N)),
        b"".join(key[: 2 * KEY_SIZE] for key in shown.values()),
        b"".join(key[2 * KEY_SIZE :] for key in shown.values()),
    )
    for i, other in ((VICTIM, 0), (0, VICTIM)):
        with pytest.raises(PeerMisbehaved, match=f"party {other}: signature does not verify") as error:
            server.ask(i, "shares", ask)
        assert not error.value.culprits
