"""What CKKS sums can and cannot be asked for, and what a client keeps when."""

import subprocess
import sys

import numpy as np
import pytest

import secagg_protocols
from secagg import aggregate
from secagg.api import Coordinator
from secagg.engine.progress import Saved as SavedRound
from secagg.errors import ConfigError, OutOfRange, PartyId, StateError
from secagg.scheme import Session
from secagg.testing import TestRound
from secagg.wire import codec
from secagg_protocols import PROTOCOLS, CkksSum
from secagg_protocols.ckks.messages import KEY_SIZE
from secagg_protocols.ckks.server import Decrypting
from secagg_protocols.ckks.stages import Advertised, Finished, Fresh, Holding, Saved

UPDATES: dict[PartyId, np.ndarray] = {i: np.full(4, i, np.uint16) for i in range(6)}


def session_of(n: int, bits: int = 16, **options: object) -> Session:
    return Session.create(range(n), np.zeros(4), bits=bits, **options)  # type: ignore[arg-type]


def test_there_is_no_active_mode() -> None:
    for make in (lambda: CkksSum(adversary="active"), lambda: PROTOCOLS["ckks"](5, adversary="active")):
        with pytest.raises(ConfigError, match="key holders decrypt what the server hands them"):
            make()
    with pytest.raises(ConfigError, match="adversary is 'none': expected 'passive'"):
        CkksSum(adversary="none")


@pytest.mark.parametrize("holders", [0, -1, 2**20 + 1, True, 2.0, None])
def test_holders_have_a_range(holders: object) -> None:
    with pytest.raises(OutOfRange, match=r"holders is .*: expected an integer in"):
        CkksSum(holders)  # type: ignore[arg-type]


@pytest.mark.parametrize("quorum", [0, -1, 4, True, 2.0])
def test_no_more_agree_than_hold_the_key(quorum: object) -> None:
    with pytest.raises(OutOfRange, match=r"quorum is .*: expected an integer in 1..3 .holders. or None"):
        CkksSum(3, quorum)  # type: ignore[arg-type]


def test_no_more_agree_than_there_are() -> None:
    assert CkksSum(5, 3).capacity(session_of(3)) >= 3
    with pytest.raises(ConfigError, match="quorum is 4: the session has 3 parties"):
        CkksSum(5, 4).capacity(session_of(3))


def test_what_it_is_called() -> None:
    assert str(CkksSum()) == "ckks (holders 3, quorum 2)"
    assert repr(CkksSum(2)) == "CkksSum(holders=2, quorum=2)"
    assert CkksSum().identifier == 'ckks/1/{"holders":3,"quorum":2}'
    assert len({CkksSum(*given).fingerprint for given in ((2,), (3,), (3, 1), (3, 3))}) == 4
    assert PROTOCOLS["ckks"](2).options == {"holders": 2, "quorum": 2}
    assert PROTOCOLS["ckks"](5, holders=1).options == {"holders": 1, "quorum": 1}


@pytest.mark.parametrize("n", [2, 3, 16, 100, 1000])
@pytest.mark.parametrize("bits", [2, 16, 32])
def test_capacity_covers_every_cohort_to_a_thousand(n: int, bits: int) -> None:
    session = session_of(n, bits)
    parameters = CkksSum().parameters(session)
    assert n <= CkksSum().capacity(session) <= parameters.capacity
    assert parameters.ring_bits == session.ring.bits
    assert parameters.modulus_bits <= 60


def test_capacity_is_refused_before_the_first_message() -> None:
    session = session_of(8192, 32)
    with pytest.raises(ConfigError, match="sums of 45 bits over 8192 clients take a modulus of more than 60 bits"):
        CkksSum().capacity(session)
    with pytest.raises(ConfigError, match="use fewer bits an entry, or a smaller cohort"):
        TestRound(CkksSum(), session, {})


def test_the_noise_can_be_the_tighter_bound() -> None:
    """A ring for counters is wider than the entries need: the noise of 42 bits an entry is what limits then."""
    session = session_of(3, 2)
    capacity, parameters = CkksSum().capacity(session), CkksSum().parameters(session)
    assert capacity == min((2**session.ring.bits - 1) // 3, (parameters.scale - 1) // 42)


def test_bytes_per_value() -> None:
    """16 clients, 16 bits, 10**5 values: under 6.0 bytes each (issue 4); 30 bits and a seed for 4096 of them."""
    dim = 100_000
    updates: dict[PartyId, np.ndarray] = {i: np.full(dim, i, np.uint16) for i in range(16)}
    out = aggregate(updates, CkksSum())
    np.testing.assert_array_equal(out.ring_sum, np.full(dim, 120))
    assert out.traffic["encrypted", "client"] / dim < 3.80


STAGES = {"keys": Advertised, "deal": Advertised, "encrypted": (Holding, Finished), "decrypt": Finished}


def test_each_stage_erases_what_is_no_longer_needed() -> None:
    round_ = TestRound(CkksSum(2), Session.create(range(6), UPDATES[0]), UPDATES)
    secrets: set[bytes] = set()
    for phase, kind in STAGES.items():
        assert round_.coordinator.phase == phase
        round_.step()
        stages = [stage_of(round_, i) for i in range(6)]
        assert all(isinstance(stage, kind) for stage in stages)  # type: ignore[arg-type]
        assert sum(isinstance(stage, Holding) for stage in stages) == (2 if phase == "encrypted" else 0)
        secrets.update(stage.private for stage in stages if isinstance(stage, Advertised))
        secrets.update(stage.seed for stage in stages if isinstance(stage, Holding))
    assert len(secrets) == 7  # six private keys, and one seed that all holders have
    left = b"".join(each._machine.save() for each in round_.participants.values())
    left += b"".join(each.state() for each in round_.participants.values()) + round_.coordinator.state()
    assert not any(secret in left for secret in secrets)


def stage_of(round_: TestRound, party: int) -> object:
    return codec.decode(round_.participants[party]._machine.save(), Saved).stage


def test_the_server_saves_no_secret() -> None:
    round_ = TestRound(CkksSum(), Session.create(range(6), UPDATES[0]), UPDATES)
    while round_.coordinator.phase != "decrypt":
        round_.step()
        state = round_.coordinator.state()
        for i in range(6):
            stage = stage_of(round_, i)
            secret = getattr(stage, "private", None) or getattr(stage, "seed", None)
            assert secret is None or secret not in state
    assert isinstance(round_.coordinator._stage, Decrypting)


def test_every_round_has_another_key() -> None:
    seeds = set()
    for _ in range(2):
        round_ = TestRound(CkksSum(1), Session.create(range(6), UPDATES[0]), UPDATES)
        while round_.coordinator.phase != "decrypt":
            round_.step()
        stages = [stage_of(round_, i) for i in range(6)]
        (held,) = [stage for stage in stages if isinstance(stage, Holding)]
        assert len(held.seed) == KEY_SIZE
        seeds.add(held.seed)
    assert len(seeds) == 2


def test_messages_and_stages_show_sizes_only() -> None:
    assert repr(Holding(bytes(32))) == "Holding(seed=<32 bytes>)"
    assert repr(Advertised(bytes(32))) == "Advertised(private=<32 bytes>)"
    assert repr(Fresh()) == "Fresh()"


@pytest.mark.parametrize("phase", ["encrypted", "decrypt"])
def test_a_state_of_other_parameters_is_refused(phase: str) -> None:
    """Sound bytes of another session's server: an error with a name, and nothing of it reaches SEAL."""
    small, large = (Session.create(range(6), np.zeros(dim, np.uint16)) for dim in (4, 5))
    scheme = CkksSum()
    round_ = TestRound(scheme, small, UPDATES)
    while round_.coordinator.phase != phase:
        round_.step()
    round_.exchange()
    saved = codec.load(round_.coordinator.state(), SavedRound)
    Coordinator.of_state(scheme, codec.encode(saved))
    saved.session = large.to_bytes()
    with pytest.raises(StateError, match="saved sum of ciphertexts"):
        Coordinator.of_state(scheme, codec.encode(saved))


def test_a_party_s_state_is_no_server_s() -> None:
    round_ = TestRound(CkksSum(), Session.create(range(6), UPDATES[0]), UPDATES)
    key = bytes(32)
    with pytest.raises(StateError):
        type(round_.coordinator).restore(CkksSum(), round_.participants[0].save(key), key)


def test_the_name_is_found_when_it_is_asked_for() -> None:
    assert secagg_protocols.CkksSum is CkksSum
    with pytest.raises(AttributeError, match="has no attribute 'BfvSum'"):
        secagg_protocols.BfvSum  # noqa: B018


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
import secagg_protocols
from secagg.api import Coordinator
from secagg.engine.progress import Saved as SavedRound
from secagg.errors import ConfigError
for make in (lambda: secagg_protocols.PROTOCOLS["ckks"](5), lambda: secagg_protocols.CkksSum):
    try:
        make()
    except ConfigError as error:
        print(error)
"""


@pytest.mark.parametrize("library", ["tenseal", "zstandard"])
def test_without_its_libraries_it_says_what_to_install(library: str) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, library], check=True, capture_output=True, text=True)
    expected = f"protocol ckks needs {library}, which is not installed: pip install 'secagg[ckks]'"
    assert done.stdout.splitlines() == [expected] * 2
