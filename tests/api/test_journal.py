"""A journal killed at any call to the system holds its newest whole state or the one before, and never goes back."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg import Coordinator, Journal, Participant, Session
from secagg.errors import OutOfRange, StateError
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
    Journal(tmp_path / "state").save(state, 3)
    again = Journal(tmp_path / "state")
    assert again.load() == state
    assert again.latch == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "state.latch"]


def test_files_are_their_owners_alone(tmp_path):
    Journal(tmp_path / "state").save(b"x")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@given(steps=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
def test_the_latch_only_grows(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("journal")
    journal, reached = Journal(folder / "state"), 0
    for step in steps:
        if step < reached:
            with pytest.raises(StateError, match=f"after one at step {reached}"):
                journal.save(b"%d" % step, step)
        else:
            journal.save(b"%d" % step, step)
            reached = step
        assert journal.latch == Journal(folder / "state").latch == reached
    if reached:
        assert Journal(folder / "state").load() == b"%d" % reached


@pytest.mark.parametrize("step", [-1, 2**64, 1.0, True, "1"])
def test_a_step_is_a_number(tmp_path, step):
    with pytest.raises(OutOfRange, match="step is"):
        Journal(tmp_path / "state").save(b"", step)


def test_counts_for_itself(tmp_path):
    journal = Journal(tmp_path / "state")
    for expected in (1, 2, 3):
        journal.save(b"")
        assert journal.latch == expected


def test_an_older_state_put_back_is_refused(tmp_path):
    journal = Journal(tmp_path / "state")
    journal.save(b"old", 1)
    old = (tmp_path / "state").read_bytes()
    journal.save(b"new", 2)
    (tmp_path / "state").write_bytes(old)
    with pytest.raises(StateError, match="at step 1, but it is known to have reached step 2"):
        Journal(tmp_path / "state").load()


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


@pytest.mark.parametrize("record", [b"", b"SAGJ", b"SAGJ\x01" + bytes(7), b"x" * 40])
def test_a_state_that_no_journal_wrote(tmp_path, record):
    journal = Journal(tmp_path / "state")
    (tmp_path / "state").write_bytes(record)
    with pytest.raises(StateError, match="not a state"):
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
        Journal(path).save(b"old", 1)
        with monkeypatch.context() as patches:
            try:
                journal = Journal(path)
                Kill(patches, at, after)
                journal.save(b"new", 2)
            except Killed:
                pass
            else:
                break
        again = Journal(path)
        found = (again.load(), again.latch)
        assert found in {(b"old", 1), (b"new", 1), (b"new", 2)}
        seen.add(found)
        again.save(b"newer", 3)  # whatever lies about from before
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
        journals[party].save(Participant(scheme, session, party).save(KEY), 0)
    for _ in scheme.phases:
        server = Coordinator.restore(scheme, own.load(), KEY)
        for party, ask in server.asks().items():
            journal = Journal(tmp_path / str(party))
            client = Participant.restore(scheme, journal.load(), KEY, latch=journal.latch)
            reply = client.answer(ask, updates[party], store=lambda c, j=journal: j.save(c.save(KEY), c.step))
            server.receive(party, reply)
        server.close_phase()
        own.save(server.save(KEY))
    assert Coordinator.restore(scheme, own.load(), KEY).result.sum[0] == pytest.approx(3, abs=1e-3)
    assert [Journal(tmp_path / str(party)).latch for party in updates] == [4, 4, 4]
