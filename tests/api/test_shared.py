"""What a client keeps on its own disk is one for all its processes, and no older record is taken for the newest."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from secagg import Journal, Ledger
from secagg.api.shared import KEPT_SECONDS, SharedJournal
from secagg.errors import ConfigError, PolicyRefused, StateError

ROW = {"key": b"k" * 32, "parties": 3}
CONTEXT, ENCODING, RUN = b"m" * 32, b"e" * 32, bytes(16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node"


def test_a_record_is_its_runs_and_outlives_the_process(path):
    SharedJournal(path).write("7", "round", ROW)
    again = SharedJournal(path)
    assert again.read("7", "round") == ROW
    assert again.read("8", "round") is None
    assert again.read("7", "keys") is None
    again.write("8", "round", {"n": 1})
    again.forget("7", "round")
    assert (SharedJournal(path).read("7", "round"), SharedJournal(path).read("8", "round")) == (None, {"n": 1})


def test_of_two_that_answer_in_one_run_at_the_same_time_one_is_refused(path):
    one, other = SharedJournal(path), SharedJournal(path)
    assert one.read("7", "round") is other.read("7", "round") is None
    one.write("7", "round", ROW)
    with pytest.raises(StateError, match="another process"):
        other.write("7", "round", {"parties": 4})
    assert one.read("7", "round") == ROW
    one.write("7", "round", {"parties": 5})  # of one that has it alone, again
    assert SharedJournal(path).read("7", "round") == {"parties": 5}


def test_what_two_have_read_is_used_by_one(path):
    """Keys that were prepared for a round: both take them, and they are gone before either may use them."""
    SharedJournal(path).write("7", "keys", ROW)
    one, other = SharedJournal(path), SharedJournal(path)
    assert one.read("7", "keys") == other.read("7", "keys") == ROW
    one.forget("7", "keys")
    with pytest.raises(StateError, match="another process"):
        other.forget("7", "keys")
    assert SharedJournal(path).read("7", "keys") is None


def test_two_runs_have_one_ledger(path):
    one, other = SharedJournal(path), SharedJournal(path)
    one.ledger.add(CONTEXT, ENCODING, {"a", "b", "c"})
    for store in (other, SharedJournal(path)):
        with pytest.raises(PolicyRefused, match="a second sum"):
            store.ledger.check(CONTEXT, ENCODING, {"a", "b"})
        with pytest.raises(PolicyRefused, match="a second sum"):
            store.ledger.add(CONTEXT, ENCODING, {"a", "b"})
    other.ledger.enter(RUN, 3)
    for round_ in (2, 3):
        with pytest.raises(PolicyRefused, match=f"round {round_} of a run"):
            one.ledger.check_round(RUN, round_)
    other.ledger.forget(CONTEXT)
    other.ledger.forget_run(RUN)
    assert one.ledger.to_bytes() == Ledger().to_bytes()


def test_with_a_ledger_of_each_process_alone_both_sums_are_opened():
    """The weakened twin: what two processes have read before either has written."""
    for cohort in ({"a", "b", "c"}, {"a", "b"}):
        Ledger().add(CONTEXT, ENCODING, cohort)


def test_a_record_and_the_ledger_do_not_undo_each_other(path):
    store, other = SharedJournal(path), SharedJournal(path)
    store.write("7", "round", ROW)
    other.ledger.enter(RUN, 3)
    store.write("7", "round", {"parties": 9})
    with pytest.raises(PolicyRefused):
        store.ledger.enter(RUN, 3)
    assert other.read("7", "round") == {"parties": 9}


def test_what_a_run_has_left_behind_is_dropped_after_a_week(path):
    now = [1e9]
    store = SharedJournal(path, lambda: now[0])
    store.write("7", "round", ROW)
    now[0] += KEPT_SECONDS
    store.write("8", "round", ROW)
    assert store.read("7", "round") == ROW
    now[0] += 1
    store.write("8", "round", {})
    assert store.read("7", "round") is None
    assert store.read("8", "round") == {}


def test_a_copy_from_before_is_refused(path):
    store = SharedJournal(path)
    store.write("7", "round", ROW)
    before = path.read_bytes()
    store.write("7", "round", {"parties": 4})
    path.write_bytes(before)
    for use in (lambda: SharedJournal(path), lambda: store.read("7", "round"), lambda: store.ledger.enter(RUN, 1)):
        with pytest.raises(StateError, match="known to have reached"):
            use()


@pytest.mark.parametrize("state", [b"", b"\x80\x01", b"\x91\x01"])
def test_a_journal_of_something_else_is_refused(path, state):
    Journal(path).save(state)
    with pytest.raises(StateError, match="not shared by runs"):
        SharedJournal(path)


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        SharedJournal(tmp_path / "gone" / "node")


def test_files_are_the_owners_alone_and_show_no_secret(path):
    store = SharedJournal(path)
    store.write("7", "round", ROW)
    assert {file.stat().st_mode & 0o77 for file in path.parent.iterdir()} == {0}
    assert "kkkk" not in repr(vars(store))


ENTER = """
import sys
from secagg.api.shared import SharedJournal
store = SharedJournal(sys.argv[1])
for number in range(int(sys.argv[2]), 40, 2):
    store.write(sys.argv[2], "round", {"n": number})
    store.ledger.add(bytes([number]) * 32, bytes(32), {"a", "b"})
"""


def test_two_processes_that_write_at_once_lose_nothing(path):
    SharedJournal(path)
    both = [subprocess.Popen([sys.executable, "-c", ENTER, path, str(start)]) for start in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    store = SharedJournal(path)
    assert [store.read(str(start), "round") for start in range(2)] == [{"n": 38}, {"n": 39}]
    with store.journal() as journal:
        assert len(journal.ledger._opened) == 40


def test_without_the_lock_both_take_a_sum(path, monkeypatch):
    """The weakened twin, step by step: both have read the journal before either writes it."""

    @contextmanager
    def unlocked(path):
        yield

    monkeypatch.setattr("secagg.api.shared._locked", unlocked)
    store = SharedJournal(path)
    with store.journal() as one, store.journal() as other:
        for journal, cohort in ((one, {"a", "b"}), (other, {"a", "c"})):
            assert journal.load() is None
            journal.ledger.add(CONTEXT, ENCODING, cohort)  # both take it
        one.flush()
        with pytest.raises(StateError, match="another one has written it"):  # as long as they do not write as one
            other.flush()
