"""All symptoms that are looked for."""

from __future__ import annotations

from thalweg.doctor.symptoms.balance import DecayImbalance, EarlySchedule, LayerImbalance
from thalweg.doctor.symptoms.conditioning import Conditioning
from thalweg.doctor.symptoms.data import BrokenInputs, DataOrder
from thalweg.doctor.symptoms.edge import EdgeOfStability
from thalweg.doctor.symptoms.frozen import FrozenLayers
from thalweg.doctor.symptoms.gradients import Cliff, ExplodingGradient, VanishingGradient
from thalweg.doctor.symptoms.losses import BatchTooLarge, BatchTooSmall, LossSpike
from thalweg.doctor.symptoms.numbers import LostUpdates, NonFiniteNumbers
from thalweg.doctor.symptoms.outputs import (
    ConstantOutputs,
    ForgottenZeroGrad,
    LearnsNothing,
    MixedRows,
    ModesDiffer,
    NoGeneralization,
    RandomEvaluation,
    WrongGradient,
    WrongOutputs,
)
from thalweg.doctor.symptoms.pairs import MixedLoss, UnpairedLoss
from thalweg.doctor.symptoms.plateau import Plateau
from thalweg.doctor.symptoms.rates import RateTooHigh, RateTooLow
from thalweg.doctor.symptoms.starts import InitScale
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.symptoms.units import DeadUnits, Saturation, Symmetry

SYMPTOMS: tuple[Symptom, ...] = (
    BrokenInputs(),
    NonFiniteNumbers(),
    WrongOutputs(),
    WrongGradient(),
    ForgottenZeroGrad(),
    MixedRows(),
    UnpairedLoss(),
    MixedLoss(),
    ConstantOutputs(),
    RandomEvaluation(),
    ModesDiffer(),
    DataOrder(),
    InitScale(),
    RateTooHigh(),
    VanishingGradient(),
    ExplodingGradient(),
    DeadUnits(),
    Saturation(),
    Symmetry(),
    LostUpdates(),
    FrozenLayers(),
    Conditioning(),
    Cliff(),
    LossSpike(),
    DecayImbalance(),
    LayerImbalance(),
    EarlySchedule(),
    BatchTooSmall(),
    BatchTooLarge(),
    EdgeOfStability(),
    Plateau(),
    RateTooLow(),
    LearnsNothing(),
    NoGeneralization(),
)
"""In the order in which they are confirmed while the budget of forks lasts."""
