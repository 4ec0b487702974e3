"""Targets: refused early where they cannot be written or are an input, written whole or not at all."""

import cv2
import numpy as np
import pytest

from gvr_core.cli.targets import check_file, keep_inputs, write_picture


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


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "bild ä 兎.png"
    write_picture(path, picture)
    read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read[..., ::-1], picture)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"cannot write .*folder\.png"):
        write_picture(tmp_path / "folder.png", picture)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "folder.png"])
