"""The server."""

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from hospitals.task import create_model, get_weights
from secagg.adapters.flower import SecureAggregation

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds."""
    model = create_model(context.run_config["learning-rate"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    strategy = SecureAggregation(strategy, weight_max=500, clip=4.0, metrics={"accuracy": 1.0, "auc": 1.0})
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(get_weights(model)),
        num_rounds=context.run_config["num-server-rounds"],
    )
    for server_round, metrics in result.train_metrics_clientapp.items():
        print(f"round {server_round} starts from: accuracy {metrics['accuracy']:.3f}, auc {metrics['auc']:.3f}")
