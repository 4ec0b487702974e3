"""Targets: refused early where they cannot be written or are an input."""

import pytest

from gvr_core.cli.targets import check_file, keep_inputs


def test_folders_in_the_way_and_missing_ones_are_named(tmp_path):
    (tmp_path / "x.latent").mkdir()
    with pytest.raises(ValueError, match=r"x\.latent: a folder of that name exists"):
        check_file(tmp_path / "x.latent")
    with pytest.raises(ValueError, match=r"cannot write .*none.x\.latent into its folder"):
        check_file(tmp_path / "none" / "x.latent")
    check_file(tmp_path / "y.latent")
    assert [p.name for p in tmp_path.iterdir()] == ["x.latent"]


def test_no_target_is_an_input_under_any_name(tmp_path):
    folder, file, new = tmp_path / "frames", tmp_path / "frames" / "frame_00001.png", tmp_path / "new.mp4"
    folder.mkdir()
    file.write_bytes(b"x")
    for target, given in ((file, file), (folder / ".." / "frames" / file.name, file), (folder, folder), (folder, file)):
        with pytest.raises(ValueError, match="would replace the input"):
            keep_inputs((new, target), (None, given))
    keep_inputs((new, file, None), (None, new, folder, tmp_path / "none.mp4"))
