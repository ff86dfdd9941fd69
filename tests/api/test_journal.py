"""A journal killed at any call to the system holds its newest whole state or the one before, and never goes back."""

import os
import stat
from pathlib import Path

import pytest

from secagg import Coordinator, Journal, Ledger, Participant, Policy, Seat, Session
from secagg.errors import PolicyRefused, StateError
from secagg.testing import TestRound
from secagg_protocols import PairwiseMasking

KEY = bytes(range(32))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program runs after it but the test."""


def test_nothing_was_ever_saved(tmp_path):
    journal = Journal(tmp_path / "state")
    assert journal.load() is None
    assert journal.latch == 0
    assert Journal(tmp_path / "state").load() is None


@pytest.mark.parametrize("state", [b"", b"x", bytes(100_000)])
def test_round_trip(tmp_path, state):
    Journal(tmp_path / "state").save(state)
    again = Journal(tmp_path / "state")
    assert again.load() == state
    assert again.latch == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "state.latch"]


def test_files_are_their_owners_alone(tmp_path):
    Journal(tmp_path / "state").save(b"x")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_the_latch_counts_writes(tmp_path):
    journal = Journal(tmp_path / "state")
    for expected in (1, 2, 3):
        journal.save(b"%d" % expected)
        assert journal.latch == Journal(tmp_path / "state").latch == expected
    assert Journal(tmp_path / "state").load() == b"3"


def test_the_ledger_is_written_with_the_state(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.ledger.add(b"round 1", bytes(32), frozenset("abc"))
    assert Journal(tmp_path / "state").ledger.to_bytes() == Ledger().to_bytes()
    journal.save(b"state")
    again = Journal(tmp_path / "state")
    assert again.ledger.to_bytes() == journal.ledger.to_bytes() != Ledger().to_bytes()
    assert again.load() == b"state"


def test_the_ledger_may_be_written_alone(tmp_path):
    """The state stays; what says nothing new is not written again."""
    journal = Journal(tmp_path / "state")
    journal.flush()
    journal.save(b"state")
    journal.ledger.enter(bytes(16), 7)
    journal.flush()
    journal.flush()
    again = Journal(tmp_path / "state")
    with pytest.raises(PolicyRefused, match="has entered round 7"):
        again.ledger.check_round(bytes(16), 7)
    assert (again.load(), again.latch) == (b"state", 2)


def test_what_another_object_has_written_is_not_turned_back(tmp_path):
    """Neither its state, from which a second vector could be masked, nor its ledger."""
    one, other = Journal(tmp_path / "state"), Journal(tmp_path / "state")
    other.ledger.enter(bytes(16), 1)
    one.ledger.add(b"round 1", bytes(32), frozenset("abc"))
    one.save(b"newest")
    for use in (other.flush, lambda: other.save(b"older"), other.load):
        with pytest.raises(StateError, match="another one has written it"):
            use()
    again = Journal(tmp_path / "state")
    assert (again.load(), again.ledger.to_bytes()) == (b"newest", one.ledger.to_bytes())


@pytest.mark.parametrize("killed", ["before the state", "after it"])
def test_a_ledger_knows_all_that_kept_state_can_answer(tmp_path, killed):
    """State may lie elsewhere: whenever the process ends, no share leaves of which the ledger has not heard."""
    session = Session.create([*"abc"], 0, context=b"round 1")
    round_ = TestRound(PairwiseMasking(), session, dict.fromkeys("abc", 1))
    kept = []

    def keep(participant):
        if killed == "before the state":
            raise Killed
        kept.append(participant.save(KEY))
        raise Killed

    seat = Seat("a", context=session.context, store=Journal(tmp_path / "ledger"))
    party = round_.participants["a"] = Participant(PairwiseMasking(), session, seat)
    while round_.coordinator.phase != "unmask":
        round_.step()
    kept.append(party.save(KEY))
    ask = round_.coordinator.asks()["a"]
    with pytest.raises(Killed):
        party.answer(ask, store=keep)
    seat = Seat("a", context=session.context, store=Journal(tmp_path / "ledger"))
    assert Participant.restore(PairwiseMasking(), kept[-1], KEY, seat).answer(ask)
    with pytest.raises(PolicyRefused, match="a second sum"):
        Journal(tmp_path / "ledger").ledger.check(session.context, session.encoding.digest, frozenset("ab"))


def test_a_ledger_outlives_its_rounds_without_any_state(tmp_path):
    """The engine makes it durable before a reply leaves, whether or not the caller keeps state."""
    session = Session.create([*"abc"], 0, context=b"the server's word")
    updates = dict.fromkeys("abc", 1)
    round_ = TestRound(PairwiseMasking(), session, updates)
    seat = Seat("a", context=session.context, store=Journal(tmp_path / "a"))
    round_.participants["a"] = Participant(PairwiseMasking(), session, seat)
    assert round_.run().sum == 3
    again = Journal(tmp_path / "a")
    seat = Seat("a", Policy(min_cohort=2), session.context, store=again)
    seat.check_set(session, frozenset("abc"), gives_input=True)
    with pytest.raises(PolicyRefused, match=r"a second sum .* over a cohort that differs by 1"):
        seat.check_set(session, frozenset("ab"), gives_input=True)
    assert again.load() is None


def test_a_round_that_is_over_leaves_the_ledger_alone(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.ledger.enter(bytes(16), 7)
    journal.save(b"state")
    journal.save(None)
    again = Journal(tmp_path / "state")
    assert (again.load(), again.ledger.to_bytes()) == (None, journal.ledger.to_bytes())


def test_an_older_record_put_back_is_refused(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.save(b"old")
    old = (tmp_path / "state").read_bytes()
    journal.save(b"new")
    (tmp_path / "state").write_bytes(old)
    for use in (lambda journal: journal.load(), lambda journal: journal.ledger, lambda journal: journal.save(b"")):
        with pytest.raises(StateError, match="at step 1, but it is known to have reached step 2"):
            use(Journal(tmp_path / "state"))


def test_an_older_record_put_back_under_an_open_journal_is_refused(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.save(b"old")
    old = (tmp_path / "state").read_bytes()
    journal.save(b"new")
    (tmp_path / "state").write_bytes(old)
    with pytest.raises(StateError, match="at step 1, but it is known to have reached step 2"):
        journal.load()


def test_a_write_whose_latch_was_lost_is_not_followed_by_its_equal(tmp_path):
    """Two records of one step, and the latch could not tell the older one."""
    Journal(tmp_path / "state").save(b"one")
    journal = Journal(tmp_path / "state")
    journal.save(b"two")
    unanswered = (tmp_path / "state").read_bytes()
    (tmp_path / "state.latch").write_bytes(b"1\n")
    Journal(tmp_path / "state").save(b"three")
    assert Journal(tmp_path / "state").latch == 3
    (tmp_path / "state").write_bytes(unanswered)
    with pytest.raises(StateError, match="at step 2, but it is known to have reached step 3"):
        Journal(tmp_path / "state").load()


def test_a_state_is_saved_beside_a_ledger_that_nobody_looked_at(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.ledger.enter(bytes(16), 7)
    journal.flush()
    Journal(tmp_path / "state").save(b"state")
    assert Journal(tmp_path / "state").ledger.to_bytes() == journal.ledger.to_bytes()


def test_a_record_says_that_a_journal_wrote_it(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.save(b"state")
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes().removeprefix(b"SAGJ\x02"))
    with pytest.raises(StateError, match="not a record that a journal wrote, or of another version"):
        journal.load()


def test_a_state_that_is_gone_is_no_fresh_start(tmp_path):
    Journal(tmp_path / "state").save(b"")
    (tmp_path / "state").unlink()
    with pytest.raises(StateError, match="gone"):
        Journal(tmp_path / "state").load()


def test_a_latch_that_is_gone_is_no_fresh_start(tmp_path):
    Journal(tmp_path / "state", tmp_path / "elsewhere").save(b"")
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(StateError, match="elsewhere is missing"):
        Journal(tmp_path / "state", tmp_path / "elsewhere")


@pytest.mark.parametrize("text", [b"", b"\n", b"1", b"01\n", b"-1\n", b"x\n", b"1\n\n", b"9" * 5000 + b"\n"])
def test_a_latch_is_one_number(tmp_path, text):
    (tmp_path / "state.latch").write_bytes(text)
    with pytest.raises(StateError, match="is not a latch"):
        Journal(tmp_path / "state")


@pytest.mark.parametrize(
    "record", [b"", b"SAGJ", b"SAGJ\x02", b"SAGJ\x01" + bytes(9), b"SAGJ\x02\x93\x01\xc0\xc4\x00", b"x" * 40]
)
def test_a_state_that_no_journal_wrote(tmp_path, record):
    journal = Journal(tmp_path / "state")
    (tmp_path / "state").write_bytes(record)
    with pytest.raises(StateError, match="not a record"):
        journal.load()


def test_the_disk_s_own_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "no such folder" / "state")


class Kill:
    """Ends the program at the nth of the system's calls that a save makes, before or after it took effect."""

    CALLS = (("os", "open"), ("os", "fsync"), ("path", "replace"), ("os", "close"))

    def __init__(self, monkeypatch, at, after):
        self.left, self.after = at, after
        for place, name in self.CALLS:
            owner = os if place == "os" else Path
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, call):
        def counting(*arguments, **options):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            result = call(*arguments, **options)
            if self.left == 0:
                raise Killed
            return result

        return counting


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_call(tmp_path, monkeypatch, after):
    """The state is the old one or the new one; once the latch has moved it is the new one."""
    seen = set()
    for at in range(1, 30):
        path = tmp_path / str(at)
        Journal(path).save(b"old")
        with monkeypatch.context() as patches:
            try:
                journal = Journal(path)
                Kill(patches, at, after)
                journal.save(b"new")
            except Killed:
                pass
            else:
                break
        again = Journal(path)
        found = (again.load(), again.latch)
        assert found in {(b"old", 1), (b"new", 1), (b"new", 2)}
        seen.add(found)
        again.save(b"newer")  # whatever lies about from before
        assert Journal(path).load() == b"newer"
    assert at == 1 + 2 * 6
    assert seen == {(b"old", 1), (b"new", 1), (b"new", 2)}


def test_both_ends_of_a_round_restart_from_their_journals(tmp_path):
    scheme, updates = PairwiseMasking(), {i: [i, 1.0] for i in range(3)}
    session = Session.create(updates, updates[0], clip=3.0)
    journals = {party: Journal(tmp_path / str(party)) for party in updates}
    own = Journal(tmp_path / "server")
    own.save(Coordinator(scheme, session).save(KEY))
    for party in updates:
        journals[party].save(Participant(scheme, session, party).save(KEY))
    for _ in scheme.phases:
        server = Coordinator.restore(scheme, own.load(), KEY)
        for party, ask in server.asks().items():
            journal = Journal(tmp_path / str(party))
            client = Participant.restore(scheme, journal.load(), KEY, party)
            reply = client.answer(ask, updates[party], store=lambda c, j=journal: j.save(c.save(KEY)))
            server.receive(party, reply)
        server.close_phase()
        own.save(server.save(KEY))
    assert Coordinator.restore(scheme, own.load(), KEY).result.sum[0] == pytest.approx(3, abs=1e-3)
    assert [Journal(tmp_path / str(party)).latch for party in updates] == [5, 5, 5]
