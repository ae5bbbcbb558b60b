"""The questions of `diagnose_collapse`, a module for each kind."""
