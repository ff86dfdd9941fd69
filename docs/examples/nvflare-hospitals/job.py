"""The job: hospitals train a tumour classifier together."""

import argparse

from nvflare.app_common.np.recipes import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv
from task import initial_weights

from secagg.adapters.nvflare import secure_aggregation


def main() -> None:
    """Train for some rounds, in the simulator."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hospitals", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    recipe = NumpyFedAvgRecipe(
        name="hospitals",
        model=initial_weights(),
        min_clients=args.hospitals,
        num_rounds=args.rounds,
        train_script="client.py",
        train_args=f"--hospitals {args.hospitals}",
        key_metric="auc",
    )
    secure_aggregation(recipe, weight_max=500, clip=4.0, metrics={"auc": 1.0})

    run = recipe.execute(SimEnv(num_clients=args.hospitals))
    print(f"the job's folder: {run.get_result()}")


if __name__ == "__main__":
    main()
