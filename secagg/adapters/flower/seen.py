"""What a client's train function sees of a message and of its context: bound by a digest, withheld, or the node's own.

docs/flower.md has the table of all fields.
"""

from typing import Any

from flwr.app import DEFAULT_TTL, Array, Context, Message, Metadata, RecordDict
from flwr.app.user_config import UserConfig
from flwr.common.config import get_fused_config
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid
from flwr.supercore.date import now

from secagg.federation.context import digest_of, sorted_by_key


def content_digest(metadata: Metadata, run_config: UserConfig, content: RecordDict) -> bytes:
    """The digest of all that a train function sees and the server says, in the order in which it sees it.

    Args:
        metadata: of which run, message type and group are bound; `handed` blanks the rest.
        run_config: of the run, as this end has it.
        content: every record of the message that is the user's (model, configuration), with its type.
    """
    records = [
        (name, type(record).__name__, [(key, _parts(value)) for key, value in record.items()])
        for name, record in content.items()
    ]
    bound = (metadata.run_id, metadata.message_type, metadata.group_id)
    return digest_of("secagg/flower/2", bound, sorted_by_key(run_config), records)


def _parts(value: Any) -> Any:
    return (value.dtype, tuple(value.shape), value.stype, value.data) if isinstance(value, Array) else value


def handed(message: Message, context: Context, content: RecordDict) -> tuple[Message, Context]:
    """The message and the context for the train function: what is each node's by nature is blank in them.

    The state is the same object. The configuration of a run is in the order of its keys, since it travels in none.
    """
    metadata = Metadata(
        run_id=context.run_id,
        message_id="",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=context.node_id,
        reply_to_message_id="",
        group_id=message.metadata.group_id,
        created_at=now().timestamp(),
        ttl=DEFAULT_TTL,
        message_type=message.metadata.message_type,
    )
    run_config = sorted_by_key(context.run_config)
    mine = Context(context.run_id, context.node_id, context.node_config, context.state, run_config)
    made: Any = Message  # its signatures leave out the one for Flower's own use
    return made(content=content, metadata=metadata), mine


def run_config_of(grid: Grid) -> UserConfig:
    """The run's configuration as every node's `Context.run_config` has it: the app's own with the run's overrides."""
    return get_fused_config(grid.run)
