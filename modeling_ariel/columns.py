"""What the columns of a visit are called, as the dataset has them."""

N_CHANNELS = 283  # FGS1, then the 282 labelled AIRS-CH0 channels in ascending wavelength
STAR_COLUMNS = ("Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")  # the star table
ORBIT_COLUMNS = ("P", "sma", "i")  # what of it tells the shape of a transit
STAR_IN_FIT = (*ORBIT_COLUMNS, "Ts")  # what of it the classical fit takes
