"""Static files: where built assets are found, and how all get hashed names, compression and hashed imports."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseStorageFinder
from django.core.files.storage import FileSystemStorage, Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage

OUR_MODULES = "ui/*.js"


class AssetsFinder(BaseStorageFinder):
    """What build_assets made, also if it was made after the settings were read; nothing if it was not made yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.place = Path(settings.LOCAL_DIR) / "assets"
        super().__init__(FileSystemStorage(location=self.place))

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Storage]]:
        if self.place.is_dir():
            yield from super().list(ignore_patterns)


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise is untyped
    """Django's own switch for module imports rewrites every script and fails on third-party ones: only ours get it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _everywhere, imports = self._js_module_import_aggregation_patterns
        self.patterns: tuple[Any, ...] = (
            *CompressedManifestStaticFilesStorage.patterns,
            (OUR_MODULES, imports),
        )
        super().__init__(*args, **kwargs)
