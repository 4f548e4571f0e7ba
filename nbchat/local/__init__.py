"""The embedded model: its weights, and the engine that answers for it on this machine.

Nothing here downloads or starts by being imported; both happen when they are asked for.
"""
