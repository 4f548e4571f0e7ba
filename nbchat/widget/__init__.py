"""The panel in the notebook: a widget over a chat, its session, and what the page may ask.

panel.py is the glue to the page, session.py the one task that talks to it, wishes.py what each
of its ops does. Nothing here is imported before a panel is opened.
"""
