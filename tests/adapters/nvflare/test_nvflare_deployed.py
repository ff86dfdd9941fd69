"""Real processes: a server and three sites with mutual TLS, one of which is killed in a round."""

import json
import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from flare_deployment import PATIENCE, Reports, deployed
from flare_simulator import check, recipe_of, secured
from nvflare.recipe import ProdEnv

from secagg import Credentials
from secagg.api.shared import SharedJournal
from secagg.primitives import signing
from secagg.scheme import Ledger

PAGE = Path(__file__).parents[3] / "docs" / "nvflare.md"


def policy() -> str:
    """A site's own privacy policy, as the page shows it."""
    blocks = re.findall(r"^```json\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if "scopes" in block)


def identified(deployment, sites) -> None:
    """Identity, store and declared weights for every site, the roster for the server."""
    words = b"six words drawn with dice"
    known = Credentials.generate(sites, os.urandom)
    for name, mine in known.items():
        local = deployment.local(name)
        (local / "me.pem").write_bytes(signing.save_private(mine.identity, words))
        (local / "passphrase").write_bytes(words)
        (local / "roster.json").write_bytes(mine.roster.to_bytes())
        identity = {"key": "me.pem", "passphrase": "passphrase", "roster": "roster.json"}
        file = {"identity": identity, "store": "secagg.ledger", "weights": [1, 60]}
        (local / "secagg.json").write_text(json.dumps(file))
        resources = json.loads((local / "resources.json.default").read_text())
        (local / "resources.json").write_text(json.dumps(resources | {"allow_log_streaming": False}))
    (deployment.local("localhost") / "roster.json").write_bytes(known[sites[0]].roster.to_bytes())


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:ssl_context is deprecated:DeprecationWarning")  # NVFLARE's own client of aiohttp
def test_two_jobs_in_active_mode_over_one_model(tmp_path):
    """What a site has helped to open lies in its own folder: the same sum again is no news, its cohort is the same."""
    sites = ["site-1", "site-2", "site-3"]
    with deployed(tmp_path, sites) as deployment:
        identified(deployment, sites)
        deployment.start()
        for _ in range(2):
            recipe = secured(recipe_of(1), options={"adversary": "active"}, roster="roster.json")
            run = recipe.execute(ProdEnv(startup_kit_location=str(deployment.admin), login_timeout=60.0))
            check(Path(run.get_result(timeout=PATIENCE)) / "workspace", [(1, 2, 3)])
        for site in sites:
            with SharedJournal(deployment.local(site) / "secagg.ledger").open_ledger() as kept:
                assert len(kept.to_bytes()) > len(Ledger().to_bytes())


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:ssl_context is deprecated:DeprecationWarning")  # NVFLARE's own client of aiohttp
def test_a_site_killed_in_training_leaves_the_sum_of_the_others(tmp_path):
    sites = ["site-1", "site-2", "site-3"]
    with closing(Reports()) as reports, deployed(tmp_path, sites) as deployment:
        for site in sites:
            (deployment.local(site) / "secagg.json").write_text(json.dumps({"min_cohort": 2}))
        (deployment.local("site-1") / "privacy.json").write_text(policy())
        deployment.start()
        how = {"options": {"threshold": 2}, "min_sites": 2, "train_timeout": 20}
        recipe = secured(recipe_of(2, arguments=f"--reports {reports.port}"), **how)
        run = recipe.execute(ProdEnv(startup_kit_location=str(deployment.admin), login_timeout=60.0))
        reports.next()
        deployment.kill("site-2")
        folder = Path(run.get_result(timeout=PATIENCE))
        outcomes = check(folder / "workspace", [(1, 2, 3), (1, 3)])
        assert [outcome["lost"] for outcome in outcomes] == [{}, {"site-2": "masked"}]
