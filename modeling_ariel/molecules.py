"""Where molecules absorb within AIRS-CH0's range."""

# [um]: above a tenth of their strongest opacity there at 1000 K, as `hf_dataset.simulation.opacities` computes it from
# their spectroscopic constants, and the weaker CO2 2.0 and CH4 2.3 of `scoring.BANDS`. CO's first overtone is at
# 2.3 um; its fundamental, at 4.7 um, lies outside.
MOLECULES: dict[str, tuple[tuple[float, float], ...]] = {
    "H2O": ((2.47, 2.96),),
    "CO2": ((1.95, 2.08), (2.65, 2.86)),
    "CH4": ((2.15, 2.45), (3.12, 3.59)),
    "CO": ((2.30, 2.44),),
    "NH3": ((1.95, 2.03), (2.17, 2.35), (2.75, 3.29)),
}
