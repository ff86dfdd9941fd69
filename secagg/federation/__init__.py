"""A round over any transport: who is asked what, what a client agrees to, what it compares before it trains.

Frameworks move the messages (`secagg.federation.messages`). `Server` and `Client` are the two ends of a training run.
"""
