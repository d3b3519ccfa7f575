"""What a store remembers of job files and their jobs."""

from __future__ import annotations

import pytest

from prokerja.errors import ProkerjaError, StoreError
from tests.repository.harness import NOOP, SEND, Store, known, record


def test_specs_are_read_back_as_they_were_recorded(store: Store) -> None:
    record(store, SEND, NOOP)
    assert known(store, "send") == SEND
    assert known(store, "noop") == NOOP
    assert known(store, "nothing") is None
    assert store.repository.known_names("/jobs") == ["noop", "send"]


def test_a_file_that_is_read_again_forgets_the_jobs_it_held_before(store: Store) -> None:
    record(store, SEND, NOOP)
    other = NOOP._replace(name="other")
    store.repository.record("/jobs", {NOOP.file: "2"}, (), [other])
    assert store.repository.known_names("/jobs") == ["other", "send"]
    assert store.repository.sources("/jobs") == {NOOP.file: "2", SEND.file: "1"}


def test_a_file_that_is_gone_is_forgotten_with_its_jobs(store: Store) -> None:
    record(store, SEND, NOOP)
    store.repository.record("/jobs", {}, [SEND.file], ())
    assert store.repository.known_names("/jobs") == ["noop"]
    assert store.repository.sources("/jobs") == {NOOP.file: "1"}


def test_of_two_files_with_one_job_the_first_counts_and_the_other_stays_known(
    store: Store,
) -> None:
    files = ["/jobs/__init__.py", "/jobs/A.py", "/jobs/b.py"]
    for file in reversed(files):
        record(store, NOOP._replace(file=file))
    for file in files:
        spec = known(store, "noop")
        assert spec is not None
        assert spec.file == file
        record(store, gone=[file])
    assert known(store, "noop") is None


def test_of_two_jobs_of_one_name_in_a_file_the_first_counts(store: Store) -> None:
    record(store, NOOP, NOOP._replace(doc="Comes too late."))
    assert known(store, "noop") == NOOP


def test_a_job_of_no_directory_that_moves_to_another_file_is_known_once(store: Store) -> None:
    record(store, NOOP, directory="")
    record(store, NOOP._replace(file="/jobs/z.py", doc="Moved."), directory="")
    spec = known(store, "noop", "")
    assert spec is not None
    assert spec.file == "/jobs/z.py"
    assert store.repository.known_names("/jobs") == ["noop"]


def test_each_directory_has_its_own_jobs_and_files_though_one_lies_in_the_other(
    store: Store,
) -> None:
    inner = NOOP._replace(file="/jobs/deep/noop.py")
    record(store, SEND, inner)
    record(store, inner._replace(doc="Seen from below."), directory="/jobs/deep")
    assert known(store, "noop") == inner
    assert known(store, "send", "/jobs/deep") is None
    assert store.repository.sources("/jobs/deep") == {inner.file: "1"}
    assert list(store.repository.known("noop")) == ["/jobs", "/jobs/deep"]
    record(store, gone=[inner.file])
    assert list(store.repository.known("noop")) == ["/jobs/deep"]
    assert store.repository.sources("/jobs") == {SEND.file: "1"}


def test_a_job_of_no_directory_belongs_to_the_one_that_turns_out_to_hold_its_file(
    store: Store,
) -> None:
    record(store, NOOP, directory="")
    record(store, NOOP)
    assert known(store, "noop") == NOOP
    assert known(store, "noop", "") is None


def test_a_catalog_that_cannot_be_recorded_stays_as_it_was(store: Store) -> None:
    record(store, NOOP)
    with pytest.raises(ProkerjaError):
        store.repository.record("/jobs", {"/jobs/\udcff.py": "1"}, [NOOP.file], [SEND])
    assert known(store, "noop") == NOOP
    assert store.repository.known("send") == {}
    assert store.repository.sources("/jobs") == {NOOP.file: "1"}


def test_a_job_file_whose_name_is_not_unicode_is_refused_clearly(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot hold it"):
        record(store, NOOP._replace(file="/jobs/\udcff/noop.py"))
