"""Questions about the store: each is one .sql file and one typed function that gives a frame.

Reads only; knows the store and nothing of chats or the engine.
"""
