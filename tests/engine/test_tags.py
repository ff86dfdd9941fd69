"""A frame's tag names session, scheme and options, so two ends that differ in any hear so at the first ask."""

import hashlib
from itertools import permutations

import numpy as np
import pytest
from plainsum import PlainSum

from secagg import Coordinator, Participant, Session
from secagg.engine.exchange import tag_of
from secagg.errors import WireError
from secagg.scheme import Credentials, Seat
from secagg.testing import SeededEntropy
from secagg.wire import frame
from secagg_protocols import CkksSum, PairwiseMasking

PARTIES = ["a", "b", "c", "d"]
MEMBERS = Credentials.generate(PARTIES, SeededEntropy(1))
SESSION = Session.create(PARTIES, np.zeros(3))
SCHEMES = {
    "secagg": PairwiseMasking(),
    "a threshold": PairwiseMasking(threshold=4),
    "neighbours": PairwiseMasking(neighbours=2),
    "active": PairwiseMasking(adversary="active"),
    "active, more corrupt": PairwiseMasking(adversary="active", corrupt=0.2),
    "active, more bits": PairwiseMasking(adversary="active", sigma=64),
    "ckks": CkksSum(),
    "ckks, two holders": CkksSum(holders=2),
    "another protocol": PlainSum(),
    "another protocol's option": PlainSum("salt"),
}


def party(scheme):
    return Participant(scheme, SESSION, Seat("a", credentials=MEMBERS["a"]))


def server(scheme):
    return Coordinator(scheme, SESSION, MEMBERS["a"].roster)


@pytest.mark.parametrize(("theirs", "mine"), list(permutations(SCHEMES, 2)))
def test_ends_of_other_options_part_at_the_first_ask(theirs, mine):
    """Nobody else is blamed for it, and a client that its operator mends has lost nothing."""
    asking, asked = server(SCHEMES[theirs]), party(SCHEMES[mine])
    with pytest.raises(WireError, match="an ask of another session, or of another scheme or other options"):
        asked.answer(asking.asks()["a"])
    assert asked.left is None
    assert asked.answer(server(SCHEMES[mine]).asks()["a"], np.zeros(3))


def test_a_reply_under_other_options_costs_its_sender_alone():
    asking, other = server(SCHEMES["secagg"]), server(SCHEMES["a threshold"])
    asking.receive("a", party(SCHEMES["a threshold"]).answer(other.asks()["a"]))
    assert "a reply of another session, or of another scheme or other options" in asking.misbehaved["a"]
    assert set(asking.misbehaved) == {"a"}


def test_the_tag_is_the_documented_one():
    scheme = SCHEMES["active"]
    digest = hashlib.sha256(b"secagg/tag/1" + scheme.fingerprint + SESSION.digest).digest()
    assert tag_of(scheme, SESSION) == digest[:16]
    ask = server(scheme).asks()["a"]
    assert frame.unwrap(ask).tag == frame.unwrap(party(scheme).answer(ask)).tag == digest[:16]


def test_every_session_and_every_scheme_has_its_own():
    sessions = [SESSION, Session.create(PARTIES, np.zeros(3)), Session.create(PARTIES, np.zeros(4))]
    tags = {tag_of(scheme, session) for scheme in SCHEMES.values() for session in sessions}
    assert len(tags) == len(SCHEMES) * len(sessions)


def test_equal_options_are_understood_however_they_were_written():
    asking = server(PairwiseMasking(adversary="active"))
    assert party(PairwiseMasking(None, None, "active", 0.05, 40)).answer(asking.asks()["a"])
