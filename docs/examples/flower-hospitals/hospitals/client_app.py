"""A hospital."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from hospitals.task import create_model, get_weights, load_data, score, set_weights
from hospitals.task import train as train_model
from secagg.adapters.flower import secagg_mod

app = ClientApp(mods=[secagg_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Score the global model on patients that it was not trained on, then train it on the hospital's others."""
    model = create_model(context.run_config["learning-rate"])
    set_weights(model, message.content["arrays"].to_numpy_ndarrays())
    train_features, test_features, train_labels, test_labels = load_data(
        context.node_config["partition-id"], context.node_config["num-partitions"]
    )
    scores = score(model, test_features, test_labels)
    loss = train_model(model, train_features, train_labels, context.run_config["local-steps"])
    metrics = MetricRecord({**scores, "train_loss": loss, "num-examples": len(train_labels)})
    content = RecordDict({"arrays": ArrayRecord(get_weights(model)), "metrics": metrics})
    return Message(content=content, reply_to=message)
