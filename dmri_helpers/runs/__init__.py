"""A run on disk: start, save, resume, find again, several processes."""

from .folder import Run as Run
from .folder import read_log as read_log
from .processes import processes as processes
from .reuse import describe_data as describe_data
from .reuse import trained as trained
