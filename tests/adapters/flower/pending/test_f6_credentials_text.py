"""Of whatever a user's functions raise, the server is to be told the class alone (`SecAggMod`). An error of this
library's own, raised inside the user's `credentials` function, goes out with its text: here the path of a key file,
and in it a patient's number.

Closed when: the reason holds the class and no more, as it does for an error of any other library.
"""

import pytest
from federation import model_record
from lying import Federation, refusals

from secagg.adapters.flower import SecAggMod
from secagg_protocols import PaillierKeys

FEDERATION = Federation(3)
PLACE = "/srv/patients/patient-0001/holder.key"


def credentials(context):
    """Loads a file that is not there, by any function of this library that names the path."""
    PaillierKeys.load(PLACE, b"a passphrase")
    pytest.fail("there is such a file")


def test_the_text_of_our_own_errors_reaches_the_server():
    grid = FEDERATION.grid(mod=SecAggMod(credentials=credentials))
    outcome, _ = FEDERATION.run(grid, model_record(), weight_max=400)
    assert outcome.failure is not None
    told = refusals(grid)
    assert set(told) == set(FEDERATION.nodes)
    assert all(PLACE in reason for reason in told.values())
