"""What the probes can be asked: each module's HANDLERS, functions of JSON values by name."""
