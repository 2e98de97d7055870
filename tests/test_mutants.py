"""The mutants that tests/mutate_sql.py makes. `make mutants` shows whether the tests notice them."""

import pytest

from tests.mutate_sql import all_mutants, changes, known

EXISTS = "EXISTS (SELECT 1 FROM a LEFT JOIN b ON b.id = a.id WHERE a.id < 3)"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            f"-- WHERE it is NOT so\nDELETE FROM c WHERE id = :id -- AND more\n AND (role = 'x OR y' OR {EXISTS});",
            [
                ("id = :id", "true"),
                (f"(role = 'x OR y' OR {EXISTS})", "true"),
                ("role = 'x OR y'", "false"),
                (EXISTS, "false"),
                ("b.id = a.id", "true"),
                ("a.id < 3", "true"),
                ("<", "<="),
                ("LEFT JOIN", "JOIN"),
            ],
        ),
        (
            "SELECT CASE WHEN a IS NULL THEN 'x' WHEN b >= 1 AND c NOT IN ('y', 'z') THEN 'y' END AS verdict",
            [
                ("a IS NULL", "NULL"),
                ("b >= 1", "true"),
                ("c NOT IN ('y', 'z')", "true"),
                ("IS NULL", "IS NOT NULL"),
                (">=", ">"),
                ("NOT ", ""),
                ("IN ('y', 'z'", "IN ('y'"),
                ("IN ('y', ", "IN ("),
            ],
        ),
        (
            "SELECT max(n) FROM a WHERE n NOT BETWEEN 1 AND 2 ORDER BY n, id DESC LIMIT :most + 1 OFFSET :skip",
            [
                ("n NOT BETWEEN 1 AND 2", "true"),
                ("NOT ", ""),
                ("max(", "min("),
                ("ORDER BY n", "ORDER BY n DESC"),
                ("DESC", "ASC"),
                ("LIMIT :most + 1 OFFSET :skip", ""),
                (" + 1", ""),
                ("OFFSET :skip", ""),
            ],
        ),
        (
            "INSERT INTO a VALUES (iif(:n <> 'a > b', 1, 2)) ON CONFLICT (n) DO UPDATE SET n = excluded.n;",
            [
                ("iif(", "iif(NOT "),
                ("<>", "="),
                ("ON CONFLICT (n) DO UPDATE SET n = excluded.n", ""),
                ("DO UPDATE SET n = excluded.n", "DO NOTHING"),
            ],
        ),
    ],
)
def test_conditions_are_removed_and_operators_changed(sql, expected):
    found = list(changes(sql))

    assert sorted((old, new) for _, old, new in found) == sorted(expected)
    assert all(sql[place:].startswith(old) for place, old, _ in found)


def test_mutants_have_unique_names_and_include_those_known_to_survive():
    names = [str(mutant) for mutant in all_mutants()[1]]

    assert len(names) > 500
    assert len({*names}) == len(names)
    assert {*known()} <= {*names}
