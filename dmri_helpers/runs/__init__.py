"""Training runs on disk (notebooks 04 to 06): start, save, resume and find one again, in one process or several."""

from .folder import Run as Run
from .folder import read_log as read_log
from .processes import processes as processes
from .reuse import describe_data as describe_data
from .reuse import trained as trained
