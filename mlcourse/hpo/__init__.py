"""Hyper-parameter optimisation: spaces and configurations are dicts, methods ask and tell."""
