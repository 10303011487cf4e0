"""Figures of all notebooks, in one style.

Every function takes torch tensors or numpy arrays (complex values are shown by their magnitude, real ones
as they are) and returns a matplotlib ``Figure`` that pyplot has already forgotten. A notebook therefore
shows a figure exactly once: as the last expression of a cell, or with ``display(figure)`` anywhere else.
:func:`save` writes it. What cannot be drawn raises a ValueError that says what was found and what was expected:
shapes that do not match, an index out of range, a name that is not among the cines.

Images are gray and drawn without interpolation, errors use a perceptually uniform map, curves the
colour-blind-safe palette of Okabe and Ito [1]_ with line styles and markers that survive a gray print.
``y`` is the phase-encode direction (vertical), ``x`` the readout (horizontal), both in pixels; time is
the frame index. Frames and pixels count from 0.

References
----------
.. [1] M. Okabe, K. Ito, Color universal design, 2008, https://jfly.uni-koeln.de/color/
"""

from .arrays import check_index as check_index
from .arrays import magnitude as magnitude
from .arrays import one_cine as one_cine
from .arrays import same_cines as same_cines
from .charts import curves as curves
from .charts import ladder as ladder
from .charts import loss_curves as loss_curves
from .charts import paired_scores as paired_scores
from .charts import quality_against as quality_against
from .drawing import architecture as architecture
from .images import cine_comparison as cine_comparison
from .images import first_look as first_look
from .images import gallery as gallery
from .images import kspace as kspace
from .images import maps as maps
from .images import masks as masks
from .images import xt_profiles as xt_profiles
from .style import COLORS as COLORS
from .style import ERROR_MAP as ERROR_MAP
from .style import MARKERS as MARKERS
from .style import save as save
