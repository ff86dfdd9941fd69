"""The tables of the Paillier pages hold what the code holds."""

import re

import pytest
from diagram import diagram
from pages import ROOT, rows

from secagg.testing import small_keys
from secagg_protocols import PaillierKeys, PaillierSum

PROTOCOL = ROOT / "docs" / "protocol-paillier.md"
WIRE = ROOT / "docs" / "wire-format.md"
THREATS = ROOT / "docs" / "threat-model.md"
FRESH = PaillierSum()


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def in_advance() -> PaillierSum:
    with small_keys(64):
        return PaillierSum(keys=PaillierKeys.generate([1, 2], 2, 64))


@pytest.mark.parametrize("make", [PaillierSum, in_advance])
def test_protocol_page_holds_the_diagram_of_the_phases(make):
    assert f"```\n{diagram(make().phases)}```" in PROTOCOL.read_text("utf-8")


def test_every_step_of_the_papers_names_a_function():
    steps = rows(PROTOCOL, "### Paillier 1999; Damgard, Jurik and Nielsen 2010")
    assert len(steps) >= 10
    for step, _, code in steps:
        assert re.search(r"`[\w/]+\.py` `[\w.]+`", code), step


def test_sizes_table_has_every_message_from_the_right_end():
    listed = {names(message)[0]: end for message, end, _ in rows(PROTOCOL, "## Message sizes")}
    expected = {}
    for phase in FRESH.phases:
        expected |= {phase.ask.__name__: "server", phase.reply.__name__: "client"}
    assert listed == expected


def test_wire_page_has_every_field_of_every_message_in_order():
    listed: dict[str, list[str]] = {}
    message = ""
    for first, field, *_ in rows(WIRE, "## Messages of Paillier sums"):
        message = names(first)[0] if first else message
        listed.setdefault(message, []).extend(names(field))
    kinds = [kind for phase in FRESH.phases for kind in (phase.ask, phase.reply)]
    assert listed == {kind.__name__: list(kind.__struct_fields__) for kind in kinds}


@pytest.mark.parametrize("heading", ["### Who learns what", "### What is detected", "### What a lying server gains"])
def test_every_statement_of_the_threat_model_names_its_test(heading):
    for cells in rows(THREATS, heading):
        assert re.search(r"`tests/[\w/]+\.py(::[\w:]+)?`", cells[-1]) or cells[-1] == "by design", cells[0]
