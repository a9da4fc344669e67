"""Arguments of calls, checked as CPython checks them: class and text of an error are its own."""
