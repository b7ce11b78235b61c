"""Transit retrieval and models that turn Ariel light curves into spectra with uncertainties."""
