"""What the columns of a visit are called, as the dataset has them."""

N_CHANNELS = 283  # FGS1, then the 282 labelled AIRS-CH0 channels in ascending wavelength
STAR_COLUMNS = ("Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")  # the star table
ORBIT_COLUMNS = ("P", "sma", "i")  # what of it tells the shape of a transit
STAR_IN_FIT = (*ORBIT_COLUMNS, "Ts")  # what of it the classical fit takes
STAR_RANGES = {  # what a star table can hold in its units: beyond lies another unit
    "Rs": (0.01, 1e3, "solar radii"),
    "Ms": (0.01, 200.0, "solar masses"),
    "Ts": (1e3, 1e5, "K"),
    "Mp": (1e-6, 1e5, "Jupiter masses"),
    "e": (-1e-6, 1.0, "an eccentricity"),
    "P": (0.01, 1e6, "days"),
    "sma": (1.0, 1e6, "stellar radii"),
    "i": (45.0, 135.0, "degrees"),
}


def wrong_um(middle: float) -> str:
    """Why wavelengths with this median are none in um; empty where they may be."""
    if 0.05 < middle < 100.0:
        return ""
    unit = ": nm?" if middle >= 100.0 else ": metres?" if middle > 0.0 else ""
    return f"wavelength: expected um, found values round {middle:g}{unit}"
