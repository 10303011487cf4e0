"""A run on disk: start, save, resume, find again, several processes."""

from .folder import Run as Run
from .folder import read_log as read_log
from .processes import processes as processes
from .trained import describe_data as describe_data
from .trained import trained as trained
