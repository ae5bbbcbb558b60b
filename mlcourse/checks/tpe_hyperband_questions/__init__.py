"""The questions of `tpe_hyperband`, one file a subject."""
