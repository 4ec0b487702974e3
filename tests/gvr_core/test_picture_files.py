"""Pictures on disk."""

import cv2
import numpy as np
import pytest

from gvr_core.picture_files import write_picture


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
