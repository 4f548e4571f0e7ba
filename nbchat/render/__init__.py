"""Model text, tools and messages become safe HTML, and a plain-text twin of it.

Invariant: whatever a model, a tool or a name says, what is shown runs nothing, loads
nothing and links nowhere unless the reader clicks. `plain` and `card` need no library;
`markdown`, and what builds on it, is imported only when an answer is shown. Nothing here
knows the store, the kernel or the network.
"""
