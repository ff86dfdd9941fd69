"""A hospital: NVFLARE's Client API, nothing else."""

import argparse

import nvflare.client as flare
from nvflare.apis.dxo import MetaKey
from nvflare.app_common.np.constants import NPConstants
from task import auc, load_data, model_of, weights_of


def main() -> None:
    """Train whenever the server asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hospitals", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    args = parser.parse_args()

    flare.init()
    hospital = int(flare.get_site_name().removeprefix("site-")) - 1
    train_features, test_features, train_labels, test_labels = load_data(hospital, args.hospitals)

    while flare.is_running():
        received = flare.receive()
        model = model_of(received.params[NPConstants.NUMPY_KEY], args.learning_rate)
        score = auc(model, test_features, test_labels)
        for _ in range(args.epochs):
            model.partial_fit(train_features, train_labels)
        flare.send(
            flare.FLModel(
                params={NPConstants.NUMPY_KEY: weights_of(model)},
                metrics={"auc": score},
                meta={MetaKey.NUM_STEPS_CURRENT_ROUND: len(train_labels)},
            )
        )


if __name__ == "__main__":
    main()
