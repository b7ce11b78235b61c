"""The torch transit against exoplanet-core and batman, and its gradients against finite differences."""

from __future__ import annotations

import exoplanet_core
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_ariel.transit import (
    binned_moments,
    eccentric_anomaly,
    eccentric_separation,
    hidden_moments,
    intensity_coefficients,
    quadratic_transit,
    separation,
)

RADII = (0.001, 0.01, 0.1, 0.3, 0.9, 1.0, 1.3)


def tensor(*values: object) -> list[torch.Tensor]:
    return [torch.as_tensor(np.asarray(value, np.float64)) for value in values]


def hard_separations(k: float) -> np.ndarray:
    """Separations through the whole transit, and crowded about the contacts, the centre and z = k."""
    near = 10.0 ** np.linspace(-13, -1, 60)
    special = [x + sign * near for x in (0.0, k, abs(1 - k), 1 + k) for sign in (-1, 1)]
    return np.abs(np.concatenate([np.linspace(0, 1.2 + k, 500), *special, [k, 1 + k]]))


@pytest.mark.parametrize("k", RADII)
@pytest.mark.parametrize("u", [(0.0, 0.0), (0.4, 0.26), (0.05, 0.6)])
def test_transit_agrees_with_exoplanet_core_to_1e_8_also_at_contacts(k: float, u: tuple[float, float]) -> None:
    z = hard_separations(k)
    z = z[np.abs(z) > 1e-12] if k == 1.0 else z  # exoplanet-core says 1 where a disc of the star's size covers it
    expected = 1.0 + exoplanet_core.quad_limbdark_light_curve(*u, z, np.full_like(z, k))
    found = quadratic_transit(*tensor(z, k, *u)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-8 if k < 1 else 2e-8, rtol=0)


def test_transit_agrees_with_batman() -> None:
    batman = pytest.importorskip("batman")
    parameters = batman.TransitParams()
    parameters.t0, parameters.per, parameters.rp, parameters.a = 0.0, 3.0, 0.1, 9.0
    parameters.inc, parameters.ecc, parameters.w = 88.0, 0.0, 90.0
    parameters.limb_dark, parameters.u = "quadratic", [0.3, 0.2]
    time = np.linspace(-0.1, 0.1, 300)  # batman needs float64: float32 can hang it
    expected = batman.TransitModel(parameters, time, max_err=0.1).light_curve(parameters)
    rate = 2 * np.pi / 3.0
    b2 = (9.0 * np.cos(np.radians(88.0))) ** 2
    z, _ = separation(*tensor(time[None], [[0.0]], [[b2]], [[rate * 9.0]], [[rate]]))
    found = quadratic_transit(z, *tensor(0.1, 0.3, 0.2)).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-7, rtol=0)


@given(z=st.floats(0, 1.5), k=st.floats(0.005, 0.5), u1=st.floats(0, 0.7), u2=st.floats(0, 0.3))
@settings(max_examples=150, deadline=None)
def test_gradients_agree_with_finite_differences(z: float, k: float, u1: float, u2: float) -> None:
    step = 1e-6
    if min(abs(z - abs(1 - k)), abs(z - 1 - k), z) < 1e-3:
        return  # the second derivative is unbounded at contacts, so differences are no reference there
    arguments = [x.requires_grad_() for x in tensor(z, k, u1, u2)]
    quadratic_transit(*arguments).backward()
    for index, argument in enumerate(arguments):
        moved = [float(x.detach()) for x in arguments]
        values = []
        for sign in (1, -1):
            moved[index] = float(argument.detach()) + sign * step
            values.append(float(quadratic_transit(*tensor(*moved))))
        assert argument.grad is not None
        assert float(argument.grad) == pytest.approx((values[0] - values[1]) / (2 * step), abs=3e-7)


@pytest.mark.parametrize("k", RADII)
def test_gradients_are_finite_at_every_contact_and_at_the_centre(k: float) -> None:
    arguments = tensor(hard_separations(k), k, 0.3, 0.2)
    for argument in arguments:
        argument.requires_grad_()
    quadratic_transit(*arguments).sum().backward()
    for argument in arguments:
        assert argument.grad is not None
        assert torch.isfinite(argument.grad).all()


def test_a_small_planet_at_the_centre_hides_k_squared_times_the_central_intensity() -> None:
    u1, u2, k = 0.4, 0.2, 1e-3
    flux = float(quadratic_transit(*tensor(0.0, k, u1, u2)))
    assert 1 - flux == pytest.approx(k**2 / (1 - u1 / 3 - u2 / 6), rel=1e-5)


def test_batches_over_planets_times_and_channels_give_what_single_calls_give() -> None:
    z, k, u1, u2 = torch.rand(3, 50, 1).double(), torch.rand(3, 1, 7).double() * 0.2 + 0.01, *tensor(0.3, 0.1)
    batch = quadratic_transit(z, k, u1, u2)
    assert batch.shape == (3, 50, 7)
    assert torch.equal(batch[1, :, 4], quadratic_transit(z[1, :, 0], k[1, 0, 4], u1, u2))


def test_the_sign_of_the_separation_does_not_matter_and_integers_are_refused() -> None:
    z, k, u1, u2 = tensor([0.2, 0.95], 0.1, 0.3, 0.2)
    assert torch.equal(quadratic_transit(z, k, u1, u2), quadratic_transit(-z, k, u1, u2))
    with pytest.raises(ValueError, match="floating-point"):
        quadratic_transit(*(torch.tensor(1) for _ in range(4)))


def test_separation_is_that_of_a_circular_orbit_with_right_derivatives() -> None:
    time = np.linspace(-3, 3, 41)[None]
    t0, b2, speed, rate = 0.3, 0.16, 0.6, 2 * np.pi / 90
    z, by = separation(*tensor(time, [[t0]], [[b2]], [[speed]], [[rate]]))
    a, phase = speed / rate, rate * (time - t0)
    cos_i = np.sqrt(b2) / a
    np.testing.assert_allclose(z, a * np.sqrt(np.sin(phase) ** 2 + (cos_i * np.cos(phase)) ** 2), rtol=1e-12)
    for axis, (name, step) in enumerate((("t0", 1e-6), ("b2", 1e-6), ("speed", 1e-6))):
        values = {"t0": t0, "b2": b2, "speed": speed}
        results = []
        for sign in (1, -1):
            moved = dict(values)
            moved[name] = values[name] * np.exp(sign * step) if name == "speed" else values[name] + sign * step
            results.append(separation(*tensor(time, [[moved["t0"]]], [[moved["b2"]]], [[moved["speed"]]], [[rate]]))[0])
        np.testing.assert_allclose(by[..., axis], (results[0] - results[1]) / (2 * step), atol=1e-6)


def test_bins_are_averaged_within_ingress() -> None:
    """A bin as long as half an ingress differs from its middle value, and equals a fine average."""
    shape, rate, width = tensor([[0.0, 0.1, np.log(0.5)]], [0.05], [0.1])
    time = torch.linspace(-2.3, -1.6, 15).double()[None]
    k = torch.tensor([[0.1]]).double()
    averaged = binned_moments(time, width, shape, rate, k)[0][0, 0, :, 0]
    fine = torch.linspace(-0.5, 0.5, 2001).double() * 0.1
    z = separation(
        (time[0][:, None] + fine).reshape(1, -1), shape[:, :1], shape[:, 1:2], shape[:, 2:].exp(), rate[:, None]
    )[0]
    dense = hidden_moments(z[0], k[0])[0][:, 0].reshape(15, -1)
    middle = dense[:, 1000]
    assert float((averaged - dense.mean(-1)).abs().max()) < 2e-5
    assert float((averaged - dense.mean(-1)).abs().max()) < 0.2 * float((middle - dense.mean(-1)).abs().max())


# --- eccentric orbits ----------------------------------------------------------------------------------------------


def eccentric(shape: torch.Tensor, e: float, omega: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Separation and derivatives over 12 hours of an orbit of 3.2 days."""
    (time,) = tensor(np.linspace(-6, 6, 400))
    orbit = tensor([2 * np.pi / 76.8], [e], [omega])
    return eccentric_separation(time, shape[:1], shape[1:2], shape[2:].exp(), *orbit)


@pytest.mark.parametrize(("e", "omega"), [(0.0, 1.0), (0.3, 0.7), (0.6, 3.5), (0.85, 5.0)])
def test_eccentric_orbits_agree_with_batman_and_have_their_own_derivatives(e: float, omega: float) -> None:
    batman = pytest.importorskip("batman")
    parameters = batman.TransitParams()
    a, inclination = 8.0, 88.0
    parameters.t0, parameters.per, parameters.rp, parameters.a, parameters.inc = 0.0, 3.2, 0.1, a, inclination
    parameters.ecc, parameters.w, parameters.limb_dark, parameters.u = e, np.degrees(omega), "uniform", []
    expected = batman.TransitModel(parameters, np.linspace(-6, 6, 400) / 24).ds
    towards = 1 + e * np.sin(omega)
    speed = 2 * np.pi / 76.8 * a * towards / np.sqrt(1 - e**2)
    b = a * np.cos(np.radians(inclination)) * (1 - e**2) / towards
    (shape,) = tensor([0.0, b**2, np.log(speed)])
    z, by_shape = eccentric(shape, e, omega)
    near = expected < 5
    np.testing.assert_allclose(z.numpy()[near], expected[near], atol=2e-6)  # batman's own tolerance
    steps = 1e-6 * torch.eye(3, dtype=torch.float64)
    numeric = torch.stack(
        [(eccentric(shape + h, e, omega)[0] - eccentric(shape - h, e, omega)[0]) / 2e-6 for h in steps], -1
    )
    np.testing.assert_allclose(by_shape.numpy()[near], numeric.numpy()[near], atol=1e-7)


def test_a_circular_orbit_is_the_limit() -> None:
    (time, t0, b2, speed, rate) = tensor(np.linspace(-6, 6, 400), [0.3], [0.2], [0.6], [0.08])
    for found, expected in zip(
        eccentric_separation(time, t0, b2, speed, rate, *tensor([0.0], [1.0])),
        separation(time, t0, b2, speed, rate),
        strict=True,
    ):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("e", [0.0, 0.3, 0.9, 0.949])
def test_keplers_equation_is_solved(e: float) -> None:
    mean, eccentricity = tensor(np.linspace(-20, 20, 1001), e)
    found = eccentric_anomaly(mean, eccentricity)
    away = torch.remainder(found - eccentricity * torch.sin(found) - mean + np.pi, 2 * np.pi) - np.pi
    assert float(away.abs().max()) < 1e-12


@pytest.mark.parametrize("step", [0.02, 0.1, 0.25, 0.5])
def test_bins_with_widths_of_their_own_are_averaged_to_3_ppm_however_long(step: float) -> None:
    time, shape = np.arange(0.13, 8, step), [4.1, 0.09, np.log(0.65)]
    rate, k, u = 2 * np.pi / 76.8, 0.118, (0.15, 0.2)
    moments, *_ = binned_moments(*tensor([time], [np.full_like(time, step)], [shape], [rate], [[k]]))
    found = 1 - (moments * intensity_coefficients(*tensor(*u))).sum(-1)
    fine = (np.arange(2001) + 0.5) / 2001 - 0.5
    z, _ = separation(*tensor((time[:, None] + step * fine).ravel(), *np.split(np.array(shape[:2]), 2), [0.65], [rate]))
    expected = quadratic_transit(z, *tensor(k, *u)).reshape(len(time), -1).mean(1)
    np.testing.assert_allclose(found[0, 0].numpy(), expected.numpy(), atol=3e-6)
