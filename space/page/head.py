"""Theme, texts and browser scripts of the page; nothing is fetched from other servers."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

# Gradio's greys and its orange are too faint to be read: these have a contrast of 4.5 or more
THEME = gr.themes.Default(primary_hue="orange", neutral_hue="zinc", font=FONT, font_mono=MONO).set(
    color_accent="#b45309",
    button_primary_background_fill="#c2410c",
    button_primary_background_fill_dark="#c2410c",
    button_primary_background_fill_hover="#9a3412",
    button_primary_background_fill_hover_dark="#9a3412",
    body_text_color_subdued="#52525b",
    body_text_color_subdued_dark="#d4d4d8",
    block_info_text_color="#52525b",
    block_info_text_color_dark="#d4d4d8",
    block_label_text_color="#3f3f46",
    block_title_text_color="#3f3f46",
    input_placeholder_color="#52525b",
    input_placeholder_color_dark="#d4d4d8",
    link_text_color="#9a3412",
    link_text_color_active="#9a3412",
    link_text_color_hover="#7c2d12",
    link_text_color_visited="#9a3412",
    link_text_color_dark="#fdba74",
    link_text_color_active_dark="#fdba74",
    link_text_color_hover_dark="#fed7aa",
    link_text_color_visited_dark="#fdba74",
)

FOLDER = Path(__file__).parent
CSS = (FOLDER / "style.css").read_text("utf-8")
KEEP_UP = (FOLDER / "keep_up.js").read_text("utf-8")
SAVE_PICTURE = (FOLDER / "save_picture.js").read_text("utf-8")
SHOW_LINK = (FOLDER / "show_link.js").read_text("utf-8")
PHONE = 640  # widest phone [px], as in style.css
LOOK = f"""() => [
  [document.body.classList.contains('dark') && 'dark', innerWidth <= {PHONE} && 'narrow'].filter(Boolean).join(' '),
  location.search, null]"""
OWN = """() => {
  const own = document.querySelector('#own'), button = own.querySelector('button');
  if (!own.querySelector('#upload')?.offsetParent) button.click();
  own.scrollIntoView({block: 'center'}); button.focus();
}"""
# Plotly writes url('ADDRESS#clip') on a page with a <base>, as Gradio's is, and the address changes with what is shown:
# clip paths and gradients would be lost (plotly.js 5871). Every graph's context finds this and writes url('#clip').
LOCAL_URLS = "<script>Object.defineProperty(Object.prototype, '_baseUrl', {get: () => '', set: () => {}});</script>"


# what lies around the page's content; Gradio applies style.css within it alone
AROUND = f"""<style>
.dark {{ --color-accent: #fb923c !important; }}
@media (max-width: {PHONE}px) {{ .gradio-container .main.fillable {{ padding: 4px 8px !important; }} }}
</style>"""


def preload() -> str:
    """The page's head: Plotly's script, loaded while the first answer is computed, finds its clip paths in the page."""
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    links = (f'<link rel="modulepreload" href="./assets/{path.name}">' for path in assets.glob("PlotlyPlot-*.js"))
    return "".join([LOCAL_URLS, AROUND, *links])


HEAD = """# Ariel spectra
What a planet's air does to starlight, as ESA's Ariel would see it: {planets} planets of *{dataset}*, read by *{model}*.
The orange band says how far to trust it."""

ABOUT = """
**How to read it.** While a planet crosses its star, its atmosphere blocks a little more light at some wavelengths than
at others. The model's spectrum μ is the red line, its 1σ and 2σ bands orange. The *classical fit* is the same light
curves without a network: transit fit, known populations of orbits and drifts, Gaussian prior over spectra. *Light
curves alone* is that fit before any prior. Where the truth is known (simulated planets) it is a thin line in black or
white, and the panel below counts the error in σ: two thirds of the points should lie inside the darker stripe.

**The sentence above it.** A molecule stands out by n σ where the best atmosphere without it raises χ² of the light
curves alone by n². The offset moves all channels together; the shape is what is left, and what molecules are read from.

**API.** The link *Use via API* at the bottom (on a phone: `?view=api` behind the address) lists the endpoints
`/planets`, `/spectrum`, `/light_curves`, `/why`, `/what_if`, `/reliability` and `/upload`; each answers with plain
numbers:

```python
from gradio_client import Client

answer = Client("{address}").predict(planet, "ppm", 50, api_name="/spectrum")
answer["table"][0]  # wavelength_um, mean_ppm, sigma_ppm, classical_mean_ppm, … of the first bin
```

**Links.** The address always names planet, view and settings: copy it to share what you see. Uploads stay with you: the
file is deleted within one and a half hours, what was computed of it is forgotten within two hours of its last use.
"""
