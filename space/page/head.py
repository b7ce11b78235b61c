"""Theme, texts and browser scripts of the page; nothing is fetched from other servers."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

THEME = gr.themes.Default(primary_hue="orange", neutral_hue="zinc", font=FONT, font_mono=MONO)

FOLDER = Path(__file__).parent
CSS = (FOLDER / "style.css").read_text("utf-8")
IS_DARK = "() => [document.body.classList.contains('dark')]"
KEEP_UP = (FOLDER / "keep_up.js").read_text("utf-8")
SAVE_PICTURE = (FOLDER / "save_picture.js").read_text("utf-8")
SHOW_LINK = (FOLDER / "show_link.js").read_text("utf-8")


def preload() -> str:
    """Links in the page's head that load Plotly's script while the first answer is computed."""
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    return "".join(f'<link rel="modulepreload" href="./assets/{path.name}">' for path in assets.glob("PlotlyPlot-*.js"))


HEAD = """# Ariel spectra
What a planet's air does to starlight, as ESA's Ariel telescope would see it: {planets} planets of *{dataset}*, read by
*{model}*. The orange band says how far the spectrum can be trusted; the tabs say why."""

ABOUT = """
**How to read it.** While a planet crosses its star, its atmosphere blocks a little more light at some wavelengths than
at others. The model's spectrum μ is the red line, its 1σ and 2σ bands orange. The *classical fit* is the same light
curves without a network: transit fit, known populations of orbits and drifts, Gaussian prior over spectra. *Light
curves alone* is that fit before any prior. Where the truth is known (simulated planets) it is drawn in black or white,
and the panel below counts the error in σ: two thirds of the points should lie inside the darker stripe.

**API.** The link *Use via API* at the bottom (on a phone: `?view=api` behind the address) lists the endpoints
`/planets`, `/spectrum`, `/light_curves`, `/why`, `/what_if`, `/reliability` and `/upload`; each answers with plain
numbers:

```python
from gradio_client import Client

answer = Client(URL).predict(planet, "ppm", 50, api_name="/spectrum")
answer["table"][0]  # wavelength_um, mean_ppm, sigma_ppm, classical_mean_ppm, … of the first bin
```

**Links.** The address always names planet, view and settings: copy it to share what you see. Uploads stay with you: the
file is deleted within one and a half hours, what was computed of it is forgotten within two hours of its last use.
"""
