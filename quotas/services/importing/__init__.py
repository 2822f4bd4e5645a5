"""Importing sales data from files: deals, quotas, reps and territories. One way in for the page, for programs and for commands."""

from quotas.services.importing.desk import (
    LARGEST,
    carry_out,
    carry_out_file,
    check,
    may_import,
    may_read,
    may_read_imports,
    remove_map,
    save_map,
    set_map,
    upload,
)
from quotas.services.importing.options import Options

__all__ = [
    "LARGEST",
    "Options",
    "carry_out",
    "carry_out_file",
    "check",
    "may_import",
    "may_read",
    "may_read_imports",
    "remove_map",
    "save_map",
    "set_map",
    "upload",
]
