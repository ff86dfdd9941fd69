"""A hospital."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from hospitals.task import create_model, get_weights, load_data, set_weights
from hospitals.task import test as test_model
from hospitals.task import train as train_model
from secagg.adapters.flower import secagg_mod

app = ClientApp(mods=[secagg_mod])


def hospital(message: Message, context: Context):
    """The global model and this hospital's patients."""
    model = create_model(context.run_config["learning-rate"])
    set_weights(model, message.content["arrays"].to_numpy_ndarrays())
    return model, load_data(context.node_config["partition-id"], context.node_config["num-partitions"])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on this hospital's patients."""
    model, (features, _, labels, _) = hospital(message, context)
    loss = train_model(model, features, labels, context.run_config["local-steps"])
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(labels)})
    content = RecordDict({"arrays": ArrayRecord(get_weights(model)), "metrics": metrics})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test the global model on patients that it was not trained on."""
    model, (_, features, _, labels) = hospital(message, context)
    metrics = MetricRecord({**test_model(model, features, labels), "num-examples": len(labels)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
