"""Figures in one house style: images, profiles, masks, curves, ladders, the network's drawing."""

from .drawing import architecture as architecture
from .arrays import check_index as check_index
from .arrays import magnitude as magnitude
from .arrays import one_cine as one_cine
from .arrays import same_cines as same_cines
from .charts import curves as curves
from .charts import ladder as ladder
from .charts import loss_curves as loss_curves
from .charts import paired_scores as paired_scores
from .charts import quality_against as quality_against
from .images import cine_comparison as cine_comparison
from .images import gallery as gallery
from .images import kspace as kspace
from .images import masks as masks
from .images import xt_profiles as xt_profiles
from .style import COLORS as COLORS
from .style import ERROR_MAP as ERROR_MAP
from .style import MARKERS as MARKERS
from .style import save as save
