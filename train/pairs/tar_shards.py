"""Tar files in webdataset's layout whose bytes depend on their content alone.

The members of one sample lie side by side and share everything before the first dot of their names; owners and times
are zero, so the same samples give the same file. A sample can be read by its offset, without looking at the others.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .storage import storage_errors, written_durably

_BLOCK = tarfile.BLOCKSIZE


class TarShard:
    """A shard that is being written.

    Attributes:
        size: bytes so far; the offset of the next sample.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file, self.size = path, file, 0

    def add(self, key: str, members: Mapping[str, bytes]) -> tuple[int, int]:
        """Append a sample.

        Args:
            key: name of the sample, without dots.
            members: ending ("json", "latent.safetensors") -> content; written in the order of the endings.

        Returns:
            Offset and size of the sample in bytes.
        """
        offset = self.size
        for ending in sorted(members):
            data = members[ending]
            info = tarfile.TarInfo(f"{key}.{ending}")  # its time, owner and group are 0
            info.size = len(data)
            with storage_errors(self._path):
                for part in (info.tobuf(tarfile.USTAR_FORMAT), data, b"\0" * (-len(data) % _BLOCK)):
                    self._file.write(part)
                    self.size += len(part)
        return offset, self.size - offset

    def cut_back(self, size: int) -> None:
        """Forget everything after the first `size` bytes."""
        with storage_errors(self._path):
            self._file.seek(size)
            self._file.truncate()
        self.size = size

    def close(self) -> None:
        """Write the end mark."""
        with storage_errors(self._path):
            self._file.write(b"\0" * 2 * _BLOCK)
            self._file.close()  # a network disk may refuse as late as that


@contextmanager
def new_shard(path: Path) -> Iterator[TarShard]:
    """A shard that is at `path` if the block ends well.

    Raises:
        StorageError: it cannot be written; nothing is left behind.
    """
    with written_durably(path) as temporary:
        with storage_errors(path):
            file = temporary.open("wb")
        try:
            shard = TarShard(path, file)
            yield shard
            shard.close()
        finally:
            with suppress(OSError):  # what is still buffered does not fit either, and that has been said
                file.close()


def read_sample(path: Path, offset: int, size: int) -> dict[str, bytes]:
    """The members of one sample by their endings.

    Raises:
        ValueError: the shard is missing, cut off, or holds something else at this place.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise tarfile.ReadError("unexpected end of file")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            files = {info.name: tar.extractfile(info).read() for info in tar.getmembers()}
    except (OSError, tarfile.TarError) as error:
        raise ValueError(
            f"{path} cannot be read at byte {offset} ({error}): delete it and give the command that made it again"
        ) from error
    return {name.partition(".")[2]: content for name, content in files.items()}
