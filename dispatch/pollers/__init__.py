"""One file per backend, the same four verbs: watch, change, forget, poll."""
