"""Input files that are read for a long time must stay as they are: a result of two versions of a file is refused."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.file_content import FileContent, Identity, file_content, identity

LOOK_SECONDS = 2.0


class FileChanged(DataError):
    """A file is another one than when it was opened first; `blocks` are (first byte, last byte) that differ."""

    def __init__(self, path: str, blocks: list[tuple[int, int]]):
        super().__init__(
            f"{path}: has changed while its frames were read, so results could mix two versions of it. Put it back as "
            "it was, or let it be as it is now and start again, with --force where that is asked for"
        )
        self.path, self.blocks = path, blocks

    def __reduce__(self):
        return type(self), (self.path, self.blocks), self.__dict__


@dataclass
class FileWatch:
    """On root. Files are read again only where the system says that something was done to them."""

    _files: dict[str, FileContent] = field(default_factory=dict)
    _identities: dict[str, Identity] = field(default_factory=dict)
    _looked: float = 0.0

    def add(self, paths: Iterable[Path | str], folder: Path | None = None) -> None:
        """Before they are read. DataError where one cannot be read; `folder`: see file_content."""
        for path in map(str, paths):
            try:
                self._files[path] = content = file_content(path, folder)
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
            self._identities[path] = content.identity

    def look(self) -> None:
        """Now and then, between pieces of work; FileChanged. A file that is appended to is left to `check`."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            for path, content in self._files.items():
                self._compare(path, content, appended=False)

    def check(self) -> list[str]:
        """When all has been read, and no more; FileChanged, or warnings for what has been appended to."""
        warnings = [
            f"{path} has grown meanwhile; the frames that were there at the start are used"
            for path, content in self._files.items()
            if self._compare(path, content, appended=True)
        ]
        self._files.clear()
        return warnings

    def _compare(self, path: str, content: FileContent, *, appended: bool) -> bool:
        """Whether the file has grown."""
        try:
            state = os.stat(path)
            now = identity(state)
            if now == self._identities[path]:
                return state.st_size > content.size
            grown = state.st_size > content.size and now[:2] == self._identities[path][:2]
            if grown and not appended:
                return True
            blocks = content.changed(path)
        except OSError:  # it is gone: who still reads it says so
            return False
        if blocks:
            raise FileChanged(path, blocks)
        self._identities[path] = now
        return state.st_size > content.size
