"""Of what a party keeps of its runs on disk no older record is taken for the newest, whichever process has written."""

import subprocess
import sys

import pytest

from secagg import Journal
from secagg.api import records
from secagg.api.records import KEPT_SECONDS, RunRecords
from secagg.api.shared import SharedJournal
from secagg.errors import PolicyRefused, StateError
from secagg.wire import codec

RUN = bytes(16)
ROW = b"k" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node"


def of(path, run="7", **how):
    """The records of a run, through an object of its own."""
    return RunRecords(SharedJournal(path), run, **how)


def test_a_record_is_its_runs_and_outlives_the_process(path):
    of(path).write("round", ROW)
    assert of(path).read("round") == ROW
    assert of(path, "8").read("round") is None
    assert of(path).read("keys") is None
    of(path, "8").write("round", b"8")
    of(path).forget("round")
    assert (of(path).read("round"), of(path, "8").read("round")) == (None, b"8")


def test_of_two_that_answer_in_one_run_at_the_same_time_one_is_refused(path):
    one, other = of(path), of(path)
    assert one.read("round") is other.read("round") is None
    one.write("round", ROW)
    with pytest.raises(StateError, match="another process"):
        other.write("round", b"4")
    assert one.read("round") == ROW
    one.write("round", b"5")  # of one that has it alone, again
    assert of(path).read("round") == b"5"


def test_what_two_have_read_is_used_by_one(path):
    """Keys that were prepared for a round: both take them, and they are gone before either may use them."""
    of(path).write("keys", ROW)
    one, other = of(path), of(path)
    assert one.read("keys") == other.read("keys") == ROW
    one.forget("keys")
    with pytest.raises(StateError, match="another process"):
        other.forget("keys")
    assert of(path).read("keys") is None


def test_a_record_and_the_ledger_do_not_undo_each_other(path):
    store, other = of(path), SharedJournal(path)
    store.write("round", ROW)
    with other.open_ledger() as ledger:
        ledger.enter(RUN, 3)
    store.write("round", b"9")
    with pytest.raises(PolicyRefused), SharedJournal(path).open_ledger() as ledger:
        ledger.enter(RUN, 3)
    assert of(path).read("round") == b"9"


def test_what_a_run_has_left_behind_is_dropped_after_a_week(path):
    now = [1e9]
    one, other = (of(path, run, clock=lambda: now[0]) for run in ("7", "8"))
    one.write("round", ROW)
    now[0] += KEPT_SECONDS
    other.write("round", ROW)
    assert one.read("round") == ROW
    now[0] += 1
    other.write("round", b"")
    assert one.read("round") is None
    assert other.read("round") == b""


def test_of_too_many_the_newest_are_kept(path, monkeypatch):
    monkeypatch.setattr(records, "MAX_ROWS", 3)
    now = iter(range(99))
    for run in "5173":
        of(path, run, clock=lambda: float(next(now))).write("round", ROW)
    assert [of(path, run).read("round") is None for run in "5173"] == [True, False, False, False]


def test_a_copy_from_before_is_refused(path):
    store = of(path)
    store.write("round", ROW)
    before = path.read_bytes()
    store.write("round", b"4")
    path.write_bytes(before)
    for use in (lambda: of(path), lambda: store.read("round"), lambda: store.write("round", ROW)):
        with pytest.raises(StateError, match="known to have reached"):
            use()


def row(run, name="round"):
    return records._Row(run, name, 0, ROW)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\x80\x01",
        b"\x91\x01",
        codec.encode(records._Saved((row("8"), row("7")))),
        codec.encode(records._Saved((row("7"), row("7")))),
        codec.encode(records._Saved((row("7" * 65),))),
        codec.encode(records._Saved(tuple(row(f"{number:05}") for number in range(4097)))),
    ],
    ids=["empty", "a dict", "a number", "out of order", "twice", "a long name", "too many"],
)
def test_a_journal_of_something_else_is_refused(path, state):
    Journal(path).save(state)
    with pytest.raises(StateError, match="not shared by runs"):
        of(path)


def test_no_secret_is_shown(path):
    store = of(path)
    store.write("round", ROW)
    assert "kkkk" not in repr(vars(store))


WRITE = """
import sys
from secagg.api.records import RunRecords
from secagg.api.shared import SharedJournal
records = RunRecords(SharedJournal(sys.argv[1]), sys.argv[2])
for number in range(20):
    records.write("round", bytes([number]))
"""


def test_two_processes_that_write_at_once_lose_nothing(path):
    both = [subprocess.Popen([sys.executable, "-c", WRITE, path, run]) for run in "78"]
    assert [process.wait() for process in both] == [0, 0]
    assert [of(path, run).read("round") for run in "78"] == [bytes([19])] * 2
