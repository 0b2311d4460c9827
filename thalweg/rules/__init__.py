"""The equations: update rules, and parts to compose them with.

Each is a plain function of tensors (see `thalweg.rule`); `chain` composes them. A file of rules lists the
public ones in `__all__`. The forms of SOAP and Shampoo that `thalweg.optim.sides` chooses by a parameter's
size are not among them.
"""

from thalweg.engine import Rule
from thalweg.rules.adafactor import *
from thalweg.rules.adam import *
from thalweg.rules.adam_variants import *
from thalweg.rules.adan import *
from thalweg.rules.adaptive import *
from thalweg.rules.ademamix import *
from thalweg.rules.adopt import *
from thalweg.rules.asgd import *
from thalweg.rules.delta_bar_delta import *
from thalweg.rules.learning_rate_free import *
from thalweg.rules.mars import *
from thalweg.rules.momentum import *
from thalweg.rules.muon import *
from thalweg.rules.parts.averages import *
from thalweg.rules.parts.clipping import *
from thalweg.rules.parts.decay import *
from thalweg.rules.parts.layerwise import *
from thalweg.rules.parts.noise import *
from thalweg.rules.parts.normalisation import *
from thalweg.rules.schedule_free import *
from thalweg.rules.shampoo import *
from thalweg.rules.sign import *
from thalweg.rules.soap import *
from thalweg.rules.soap_authors import *

__all__ = sorted(name for name, value in list(globals().items()) if isinstance(value, Rule))
