"""Tables of the documents hold what the code holds: every error, message, field, phase."""

import inspect
import re
from itertools import pairwise

import pytest
from diagram import diagram
from pages import ROOT, rows, tables

from secagg import errors
from secagg.scheme import Session
from secagg.wire import frame
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import messages

ERRORS = ROOT / "docs" / "errors.md"
PROTOCOL = ROOT / "docs" / "protocol-pairwise.md"
WIRE = ROOT / "docs" / "wire-format.md"
THREATS = ROOT / "docs" / "threat-model.md"


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ACTIVE = PairwiseMasking(adversary="active")
"""Its table holds every phase there is."""


def message_types() -> list[type]:
    return [kind for phase in ACTIVE.phases for kind in (phase.ask, phase.reply) if kind is not None]


def test_errors_page_lists_every_class_with_its_bases():
    found = {
        name: [base.__name__ for base in kind.__bases__]
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.SecaggError)
    }
    listed = {names(cells[0])[0]: names(cells[1]) for cells in rows(ERRORS, "# Errors")}
    assert listed == found


def test_the_table_above_the_errors_has_every_kind_of_them():
    """Those that are direct children of the two bases; their own children are a page's matter."""
    kinds = [*errors.SecaggError.__subclasses__(), *errors.ProtocolError.__subclasses__()]
    listed = re.findall(r"^\| `(\w+)` \|", errors.__doc__ or "", re.MULTILINE)
    assert sorted(listed) == sorted(kind.__name__ for kind in kinds if kind is not errors.ProtocolError)


@pytest.mark.parametrize("scheme", [PairwiseMasking(), ACTIVE], ids=["passive", "active"])
def test_protocol_page_holds_the_diagram_of_the_phases(scheme):
    assert f"```\n{diagram(scheme.phases)}```" in PROTOCOL.read_text("utf-8")


@pytest.mark.parametrize("heading", ["### Bonawitz et al. 2017, Fig. 4", "### Bell et al. 2020"])
def test_every_step_of_the_papers_names_a_function(heading):
    steps = rows(PROTOCOL, heading)
    assert len(steps) >= 7
    for step, _, code in steps:
        assert re.search(r"`[\w/]+\.py` `[\w.]+`", code), step


def test_sizes_table_has_every_message_from_the_right_end():
    listed = {names(message)[0]: end for message, end, _ in rows(PROTOCOL, "## Message sizes")}
    expected = {}
    for phase in ACTIVE.phases:
        expected |= {phase.ask.__name__: "server", phase.reply.__name__: "client"}
    assert listed == expected


def test_wire_page_has_every_field_of_every_message_in_order():
    listed: dict[str, list[str]] = {}
    message = ""
    for first, field, *_ in rows(WIRE, "## Messages of pairwise masking"):
        message = names(first)[0] if first else message
        listed.setdefault(message, []).extend(names(field))
    assert listed == {kind.__name__: list(kind.__struct_fields__) for kind in message_types()}


def test_wire_page_gives_the_sizes_of_rows():
    sizes = {
        (names(m)[0] if m else "", *names(field)): size
        for m, field, size, _ in rows(WIRE, "## Messages of pairwise masking")
    }
    assert sizes["Keys", "sealing"] == str(messages.KEY_SIZE)
    assert sizes["", "sealed"] in (f"{messages.SEALED_SIZE} k", f"{messages.SEALED_SIZE} d")
    assert sizes["", "shares"] == f"{messages.SHARE_SIZE} for each set bit"


def test_wire_page_has_the_frame_field_by_field():
    layout = [(int(offset), size) for offset, size, _ in rows(WIRE, "## Frame")]
    for (offset, size), (following, _) in pairwise(layout):
        assert offset + int(size) == following
    assert layout[-1] == (frame.HEADER_SIZE, "...")
    framed = frame.wrap(frame.REPLY, 7, 0x01020304, b"T" * 16, b"A" * 16, b"message")
    spans = [framed[offset : offset + int(size)] for offset, size in layout[:-1]]
    assert spans[:-1] == [b"SAGG", b"\x03", b"\x01", b"\x07", b"\x00", b"\x04\x03\x02\x01", b"T" * 16, b"A" * 16]
    assert framed[layout[-1][0] :] == b"message"


def test_wire_page_has_every_field_of_a_session():
    assert [names(cells[0])[0] for cells in rows(WIRE, "## Session")] == list(Session.__struct_fields__)


def test_every_statement_of_the_threat_model_names_its_test():
    """In whichever table it stands; that those tests exist is test_links.py's."""
    shown = [table for table in tables(THREATS) if table[0][-1] == "shown by"]
    assert len(shown) >= 8
    for cells in (row for _, *body in shown for row in body):
        assert re.search(r"`tests/[\w/]+\.py(::\w+)*`", cells[-1]) or cells[-1] == "by design", cells[0]
    assert [table[0] for table in tables(THREATS) if table[0][-1] != "shown by"] == [
        ["secret", "held by", "from", "to"]
    ]
