"""The values that settings with a fixed choice may have, shared by Python and the command line."""

from __future__ import annotations

from typing import Literal, get_args

LrScaling = Literal["none", "linear", "sqrt"]
TrainerName = Literal["auto", "loop", "lanes"]
EngineName = Literal["vmapped", "traced", "inductor", "xla"]
"""What runs the programs of lanes."""
CompilerName = Literal["xla", "inductor"]
EngineChoice = EngineName | Literal["auto"]
Dtype = Literal["float32", "float64"]
MaskSource = Literal["generator", "counter"]
"""Where dropout masks come from: the generator of the trial, or a counter; see :class:`.CounterMasks`."""
Autocast = Literal["bfloat16"]
MeasureRows = int | Literal["all"] | None
"""Rows of each set that evaluation points measure; None: as many as the cost of training allows."""

LR_SCALINGS: tuple[LrScaling, ...] = get_args(LrScaling)
TRAINERS: tuple[TrainerName, ...] = get_args(TrainerName)
COMPILERS: tuple[CompilerName, ...] = get_args(CompilerName)
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
ENGINE_CHOICES: tuple[EngineChoice, ...] = ("auto", *ENGINES)
MASK_SOURCES: tuple[MaskSource, ...] = get_args(MaskSource)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
AUTOCASTS: tuple[Autocast, ...] = get_args(Autocast)
