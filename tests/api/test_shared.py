"""What a party keeps on its own disk is one for all its processes, and no older ledger is taken for the newest."""

import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

from secagg import Journal, Ledger, Store
from secagg.api import shared
from secagg.api.shared import SharedJournal
from secagg.errors import ConfigError, PolicyRefused, StateError

CONTEXT, ENCODING, RUN = b"m" * 32, b"e" * 32, bytes(16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node"


def sums_opened(*stores):
    """Cohorts whose sums of one model these stores have helped to open, one after the other."""
    found = []
    for store, cohort in zip(stores, ({"a", "b", "c"}, {"a", "b"}), strict=True):
        with suppress(PolicyRefused), store.open_ledger() as ledger:
            ledger.add(CONTEXT, ENCODING, cohort)
            found.append(cohort)
    return found


def test_two_runs_have_one_ledger(path):
    one, other = SharedJournal(path), SharedJournal(path)
    assert sums_opened(one, other) == [{"a", "b", "c"}]
    for store in (other, SharedJournal(path)):
        with pytest.raises(PolicyRefused, match="a second sum"), store.open_ledger() as ledger:
            ledger.check(CONTEXT, ENCODING, {"a", "b"})
    with other.open_ledger() as ledger:
        ledger.enter(RUN, 3)
    for round_ in (2, 3):
        with pytest.raises(PolicyRefused, match=f"round {round_} of a run"), one.open_ledger() as ledger:
            ledger.check_round(RUN, round_)
    with other.open_ledger() as ledger:
        ledger.forget(CONTEXT)
        ledger.forget_run(RUN)
    with one.open_ledger() as ledger:
        assert ledger.to_bytes() == Ledger().to_bytes()


def test_with_a_ledger_of_each_process_alone_both_sums_are_opened(tmp_path):
    """The weakened twin: their difference is the update of the one that is missing in the second."""
    both = [{"a", "b", "c"}, {"a", "b"}]
    assert sums_opened(Store(), Store()) == both
    assert sums_opened(*(SharedJournal(tmp_path / name) for name in ("one", "other"))) == both


def test_what_is_refused_changes_nothing(path):
    store = SharedJournal(path)
    with store.open_ledger() as ledger:
        ledger.enter(RUN, 3)
    before = path.read_bytes()
    with pytest.raises(PolicyRefused), store.open_ledger() as ledger:
        ledger.enter(RUN, 2)
    assert path.read_bytes() == before


def test_a_look_writes_nothing(path):
    store = SharedJournal(path)
    with store.open_ledger() as ledger:
        ledger.enter(RUN, 3)
    before = path.read_bytes()
    with store.open_ledger() as ledger:
        ledger.check_round(RUN, 4)
    store.flush()
    assert path.read_bytes() == before


def test_the_journals_state_stays(path):
    Journal(path).save(b"state")
    with SharedJournal(path).open_ledger() as ledger:
        ledger.enter(RUN, 3)
    assert Journal(path).load() == b"state"


def test_a_copy_from_before_is_refused(path):
    store = SharedJournal(path)
    with store.open_ledger() as ledger:
        ledger.enter(RUN, 3)
    before = path.read_bytes()
    with store.open_ledger() as ledger:
        ledger.enter(RUN, 4)
    path.write_bytes(before)
    for use in (lambda: SharedJournal(path), lambda: store.open_ledger().__enter__()):
        with pytest.raises(StateError, match="known to have reached"):
            use()


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        SharedJournal(tmp_path / "gone" / "node")


@pytest.mark.parametrize("path", [3, None, b"node"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ConfigError, match=rf"path is {type(path).__name__}, expected a path"):
        SharedJournal(path)


def test_files_are_the_owners_alone(path):
    with SharedJournal(path).open_ledger() as ledger:
        ledger.enter(RUN, 3)
    assert {file.stat().st_mode & 0o77 for file in path.parent.iterdir()} == {0}


ENTER = """
import sys
from secagg.api.shared import SharedJournal
store = SharedJournal(sys.argv[1])
for number in range(int(sys.argv[2]), 40, 2):
    with store.open_ledger() as ledger:
        ledger.add(bytes([number]) * 32, bytes(32), {"a", "b"})
"""


def test_two_processes_that_write_at_once_lose_nothing(path):
    SharedJournal(path)
    both = [subprocess.Popen([sys.executable, "-c", ENTER, path, str(start)]) for start in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    with SharedJournal(path).open_ledger() as ledger:
        assert len(ledger._opened) == 40


def test_without_the_lock_both_take_a_sum(path, monkeypatch):
    """The weakened twin, step by step: both have read the journal before either writes it."""

    @contextmanager
    def unlocked(path):
        yield

    monkeypatch.setattr(shared, "_locked", unlocked)
    store = SharedJournal(path)
    with store.journal() as one, store.journal() as other:
        for journal, cohort in ((one, {"a", "b"}), (other, {"a", "c"})):
            assert journal.load() is None
            journal.ledger.add(CONTEXT, ENCODING, cohort)  # both take it
        one.flush()
        with pytest.raises(StateError, match="another one has written it"):  # as long as they do not write as one
            other.flush()
