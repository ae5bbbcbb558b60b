"""The questions of the exercise `optimisers`: one module a rule, one for choices and numbers."""
