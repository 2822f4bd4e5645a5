"""What this checkout keeps beside the code: embedded database, broker files, built assets, two secrets."""

import os
import secrets
from pathlib import Path


def local_dir(base: Path) -> Path:
    """The directory of everything that is made at run time; PARITY_LOCAL_DIR moves it."""
    return Path(os.environ.get("PARITY_LOCAL_DIR") or base / ".local").absolute()


def local_secret(local: Path, name: str = "secret_key") -> str:
    """A secret of the demo, such as its SECRET_KEY: made once and readable by its owner alone."""
    path = local / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        local.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(64))
    except FileExistsError:  # another process was first
        pass
    return path.read_text().strip()
