"""An installed app of somebody else: its one file `handlers.py` adds a handler type."""
