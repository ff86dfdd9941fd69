"""From updates (arrays, lists, dicts of arrays) to ring vectors and bytes, and back."""
