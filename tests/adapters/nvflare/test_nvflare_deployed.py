"""Real processes: a server and three sites with mutual TLS, one of which is killed in a round."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from deployment import PATIENCE, Reports, deployed
from nvflare.recipe import ProdEnv
from simulator import check, recipe_of, secured


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:ssl_context is deprecated:DeprecationWarning")  # NVFLARE's own client of aiohttp
def test_a_site_killed_in_training_leaves_the_sum_of_the_others(tmp_path):
    sites = ["site-1", "site-2", "site-3"]
    with closing(Reports()) as reports, deployed(tmp_path, sites) as deployment:
        for site in sites:
            (deployment.local(site) / "secagg.json").write_text(json.dumps({"min_cohort": 2}))
        deployment.start()
        how = {"options": {"threshold": 2}, "min_sites": 2, "train_timeout": 20}
        recipe = secured(recipe_of(2, arguments=f"--reports {reports.port}"), **how)
        run = recipe.execute(ProdEnv(startup_kit_location=str(deployment.admin), login_timeout=60.0))
        reports.next()
        deployment.kill("site-2")
        folder = Path(run.get_result(timeout=PATIENCE))
        outcomes = check(folder / "workspace", [(1, 2, 3), (1, 3)])
        assert [outcome["lost"] for outcome in outcomes] == [{}, {"site-2": "masked"}]
