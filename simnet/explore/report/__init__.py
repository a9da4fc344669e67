"""How a failure is shown: the report, and the run as a ladder."""
