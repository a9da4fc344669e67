"""One file per backend, with the same four verbs: watch, change, forget, poll."""
