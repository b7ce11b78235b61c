"""Light curves of any telescope: from arrays or files to a spectrum with its covariance.

    from modeling_ariel.any_telescope import Observation, Orbit, fit_observations

    found = fit_observations(Observation.of("mine", hours, flux, flux_err, wavelength), Orbit(period=3.2, a=8.0, b=0.3))
    found.spectrum.depth, found.spectrum.covariance, found.status

Public names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fitting import FitChoices as FitChoices
    from .limb_darkening import LimbDarkening as LimbDarkening
    from .observation import Observation as Observation
    from .observation import ObservationError as ObservationError
    from .orbit import Orbit as Orbit
    from .together import TelescopeFit as TelescopeFit
    from .together import fit_observations as fit_observations
else:
    _HOMES = {
        "FitChoices": "fitting",
        "LimbDarkening": "limb_darkening",
        "Observation": "observation",
        "ObservationError": "observation",
        "Orbit": "orbit",
        "TelescopeFit": "together",
        "fit_observations": "together",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # loaded once
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})
