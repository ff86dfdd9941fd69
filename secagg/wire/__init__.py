"""Bytes on the wire: a canonical codec for typed messages, and the frame around each."""
