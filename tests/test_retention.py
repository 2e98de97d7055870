"""Which copies are kept, whatever the clock says: the order is that in which they were made."""

import os

import pytest

from copies import copies_in, name_of_copy, newest_copy
from tests.test_backup_commands import COPY, backups, grown, names, seeded  # noqa: F401

FUTURE = [f"rowboat.2027-0{month}-01T000000Z.db" for month in (1, 2, 3)]


@pytest.fixture
def dated_ahead(backups, clock):  # noqa: F811
    """Three copies that were made while the clock was a year ahead."""
    for name in FUTURE:
        (backups / name).touch()
        os.utime(backups / name, (clock.seconds() + 365 * 24 * 60 * 60,) * 2)
    return backups


def made(grown, *options):  # noqa: F811
    path, *_ = grown.says("backup", *options)
    return os.path.basename(path)


def test_copies_dated_in_the_future_give_way_to_new_ones(grown, dated_ahead, clock):  # noqa: F811
    new = []
    for number in range(5):
        new.append(made(grown, "--keep", "3", *["--gzip"] * (number % 2)))
        assert names(dated_ahead) == {*[*FUTURE, *new][-3:]}
        clock.advance(hours=1)

    assert new[:2] == ["rowboat.2026-01-31T120000Z.1.db", "rowboat.2026-01-31T130000Z.1.db.gz"]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_clock_that_jumps_back_and_forth_does_not_change_the_order(grown, backups, clock, keep):  # noqa: F811
    new = []
    for days in (1, -3, 400, -399, 0, 0, 1, -1, 10, -10, 0):
        clock.advance(days=days)
        new.append(made(grown, "--keep", str(keep)))
        assert names(backups) == {*new[-keep:]}

    assert len({*new}) == len(new)


def test_two_copies_of_the_same_second_are_both_kept(grown, backups):  # noqa: F811
    assert [made(grown), made(grown, "--gzip"), made(grown)] == [
        COPY,
        "rowboat.2026-01-31T120000Z.1.db.gz",
        "rowboat.2026-01-31T120000Z.2.db",
    ]


def test_keep_does_not_delete_copies_that_were_renamed_by_hand(grown, backups):  # noqa: F811
    mine = {"rowboat.2026-01-31T120000Z-good.db", "rowboat.2026-01-31T120000Z copy.db.gz"}
    for name in mine:
        (backups / name).touch()

    new = [made(grown, "--keep", "1") for _ in range(2)][-1]

    assert names(backups) == {*mine, new}


def test_numbers_compare_as_numbers(tmp_path):
    for number in (9, 10**9, 2):
        (tmp_path / f"rowboat.2026-01-01T000000Z.{number}.db").touch()
    (tmp_path / "rowboat.2028-01-01T000000Z.db").touch()
    database = tmp_path / "rowboat.db"

    assert [path.name[8:] for path in copies_in(database, tmp_path)] == [
        "2028-01-01T000000Z.db",
        *(f"2026-01-01T000000Z.{number}.db" for number in (2, 9, 10**9)),
    ]
    assert name_of_copy(database, tmp_path, 0, compress=True) == "rowboat.1970-01-01T000000Z.1000000001.db.gz"


def test_the_age_of_the_newest_copy_ignores_the_future(grown, dated_ahead, clock):  # noqa: F811
    assert newest_copy(grown.database, clock.seconds()) is None
    name = made(grown)
    os.utime(dated_ahead / name, (clock.seconds() - 60,) * 2)

    assert newest_copy(grown.database, clock.seconds()) == clock.seconds() - 60
