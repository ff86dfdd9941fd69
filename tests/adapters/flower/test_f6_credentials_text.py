"""Of whatever a client's own functions raise, and of what is wrong with its own files, the server is told the class
alone, be it an error of this library: here the path of a key file, and in it a patient's number.
"""

from contextlib import nullcontext

import pytest
from federation import model_record
from lying import Federation, refusals, replied

from secagg.adapters.flower import SecAggMod
from secagg_protocols import PaillierKeys

FEDERATION = Federation(3)
PLACE = "/srv/patients/patient-0001/holder.key"


def credentials(context):
    """Loads a file that is not there, by any function of this library that names the path."""
    PaillierKeys.load(PLACE, b"a passphrase")
    pytest.fail("there is such a file")


def told(mod, **how):
    """What the server is told by all nodes."""
    grid = FEDERATION.grid(mod=mod, **how)
    outcome, _ = FEDERATION.run(grid, model_record(), weight_max=400)
    assert outcome.failure is not None
    found = refusals(grid)
    assert set(found) == set(FEDERATION.nodes)
    return set(found.values())


def test_of_our_own_errors_in_the_credentials_function_the_class_alone_reaches_the_server(caplog):
    (reason,) = told(SecAggMod(credentials=credentials))
    assert reason == "ConfigError: this client's own log says why"
    assert PLACE in caplog.text


def test_with_a_mod_that_takes_them_for_its_own_the_text_does(monkeypatch):
    monkeypatch.setattr("secagg.adapters.flower.mod.as_own_error", nullcontext)
    (reason,) = told(SecAggMod(credentials=credentials))
    assert PLACE in reason


def test_what_is_wrong_with_a_journal_names_no_file(tmp_path, caplog):
    (reason,) = told(FEDERATION.mod, stores=tmp_path / "patient-0001")
    assert reason == "ConfigError: this client's own log says why"
    assert "patient-0001" in caplog.text


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"?"), lambda path: path.mkdir()])
def test_what_is_wrong_in_a_journal_names_no_file(damage, tmp_path, caplog):
    for node in FEDERATION.nodes:
        damage(tmp_path / str(node))
        (tmp_path / f"{node}.latch").write_bytes(b"1\n")
    (reason,) = told(FEDERATION.mod, stores=tmp_path)
    assert reason.endswith("Error: this client's own log says why")
    assert str(tmp_path) in caplog.text


def test_what_goes_wrong_in_a_journal_while_a_client_trains_names_no_file(tmp_path, caplog):
    def train(message, context):
        """Meanwhile, on this node's disk."""
        (tmp_path / str(context.node_id)).write_bytes(b"?")
        return replied(message, message.content["arrays"], **{"num-examples": 50})

    grid = FEDERATION.grid(train, stores=tmp_path)
    FEDERATION.run(grid, model_record(), weight_max=400)
    assert set(refusals(grid).values()) == {"StateError: this client's own log says why"}
    assert str(tmp_path) in caplog.text
