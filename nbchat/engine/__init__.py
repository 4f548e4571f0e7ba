"""The turn engine: one coroutine on nbchat's own thread, whoever asks and however.

`running.py` is the door: everything above starts turns through it.
"""
