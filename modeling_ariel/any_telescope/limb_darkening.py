"""Limb darkening of one's own: quadratic coefficients of channels, fixed, with errors, or free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modeling_ariel.any_telescope.observation import Array, Observation, ObservationError

FREE = 0.3  # standard deviation of u1 and u2 where only the light curves tell them
_BESIDE = 0.05  # ln wavelength beyond a table's ends


@dataclass(frozen=True, eq=False)
class LimbDarkening:
    """``wavelength`` (N,) [um], ascending; ``u``, ``u_err`` (N, 2) of u1 and u2, errors of 0 where they are fixed."""

    wavelength: Array
    u: Array
    u_err: Array

    def __post_init__(self) -> None:
        """ObservationError for shapes, orders and values that cannot be."""
        size = len(self.wavelength)
        if self.u.shape != (size, 2) or self.u_err.shape != (size, 2) or not size:
            raise ObservationError(
                f"limb darkening: expected ({size}, 2) coefficients and errors, found {self.u.shape}"
            )
        if not (np.diff(self.wavelength) > 0).all():
            raise ObservationError("limb darkening: expected ascending wavelengths, found others")
        if not np.isfinite(self.u).all() or not (self.u_err >= 0).all():
            raise ObservationError("limb darkening: expected finite coefficients and errors of at least 0")
        if (np.abs(self.u) > 2).any():
            worst = float(np.abs(self.u).max())
            raise ObservationError(f"limb darkening: expected quadratic coefficients within 2, found {worst:g}")

    @classmethod
    def one(cls, u1: float, u2: float, err: float = 0.0) -> LimbDarkening:
        """The same for every channel."""
        return cls(np.array([np.nan]), np.array([[u1, u2]]), np.array([[err, err]]))

    def of(self, observation: Observation) -> tuple[Array, Array]:
        """Coefficients and errors (2, C) at an observation's channels, linear between the table's wavelengths.

        ObservationError where the table does not reach a channel.
        """
        if len(self.wavelength) == 1:
            shape = (2, observation.shape[1])
            return np.broadcast_to(self.u.T, shape).copy(), np.broadcast_to(self.u_err.T, shape).copy()
        low, high = self.wavelength[0], self.wavelength[-1]
        beyond = np.maximum(np.log(low / observation.wavelength), np.log(observation.wavelength / high))
        if beyond.max() > _BESIDE:
            channel = float(observation.wavelength[int(beyond.argmax())])
            raise ObservationError(
                f"limb darkening: expected a table that reaches {channel:.3f} um, found {low:.3f} to {high:.3f} um"
            )
        parts = [
            np.stack([np.interp(observation.wavelength, self.wavelength, column) for column in one.T])
            for one in (self.u, self.u_err)
        ]
        return parts[0], parts[1]
