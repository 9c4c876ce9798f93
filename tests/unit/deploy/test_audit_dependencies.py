"""What is installed is what was locked: every requirement of every lock is pinned by hashes."""

from __future__ import annotations

from pathlib import Path

from deploy.audit_dependencies import LOCKS, requirements, unhashed


def test_every_requirement_of_every_lock_has_hashes() -> None:
    """The lock of the project and those of the images."""
    assert len(LOCKS) == 5
    for path in LOCKS:
        named = [line for line in path.read_text().splitlines() if line[:1].isalnum()]
        assert len(list(requirements(path.read_text()))) == len(named) > 0
    assert unhashed(LOCKS) == []


def test_requirement_without_a_hash_is_found(tmp_path: Path) -> None:
    """Also between others, and with a marker."""
    path = tmp_path / "x.txt"
    path.write_text(
        "# made by hand\na==1 \\\n    --hash=sha256:00\nb==2 ; python_version < '3.12'\n"
        "c==3 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    )
    assert unhashed([path]) == ["x.txt: b==2 ; python_version < '3.12'"]
    assert [hashes for _, hashes in requirements(path.read_text())] == [1, 0, 2]
