"""The page of what simnet is like says what the tests hold, all of it, and nothing else."""

from __future__ import annotations

from tests.contract.fidelity import PAGE, PARTS, facts, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.contract.fidelity"


def test_every_measured_fact_has_a_test() -> None:
    measured = {number for first, last, _ in PARTS for number in range(first, last + 1)}
    held = {fact.number for fact in facts()}
    assert measured - held == set(), "facts without a test"
    assert held - measured == set(), "tests of facts that were never measured"


def test_what_is_not_for_simnet_says_why() -> None:
    for fact in facts():
        assert fact.only_kernel == "" or len(fact.only_kernel) > 20, fact
