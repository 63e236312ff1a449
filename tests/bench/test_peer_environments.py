"""The environments of the other queues: an installation that fails is one line, and is tried again."""

import pytest

from bench.harness import environment
from bench.harness.install import InstallError


@pytest.mark.long
def test_environment_that_cannot_be_made_is_one_line_each_time(tmp_path, monkeypatch):
    """Also the second time: what is half made does not count as made."""
    monkeypatch.setattr(environment, "HERE", tmp_path / "bench")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "requirements-peer.txt").write_text(f"peer @ file://{tmp_path}/no-such.whl\n")
    for _ in range(2):
        with pytest.raises(InstallError, match=r"^pip failed: ERROR: ") as raised:
            environment.ensure("peer")
        assert "\n" not in str(raised.value)


@pytest.mark.long
def test_environment_is_made_once_and_again_when_its_list_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environment, "HERE", tmp_path / "bench")
    (tmp_path / "bench").mkdir()
    listed = tmp_path / "bench" / "requirements-peer.txt"
    listed.write_text("# nothing\n")
    programs = environment.ensure("peer")
    assert (programs / "python").exists()
    assert "installing bench/requirements-peer.txt" in capsys.readouterr().out
    assert environment.ensure("peer") == programs
    assert not capsys.readouterr().out
    listed.write_text("# nothing yet\n")
    environment.ensure("peer")
    assert "installing bench/requirements-peer.txt" in capsys.readouterr().out
