"""How the page looks, and the few lines of script that it runs in the browser; nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

THEME = gr.themes.Default(primary_hue="orange", neutral_hue="zinc", font=FONT, font_mono=MONO)

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#head h1 { font-size: 1.5rem; margin: 0.2rem 0 0.1rem; }
#head p, #status p { margin: 0.1rem 0; }
#status { border-left: 4px solid var(--primary-500); padding: 0.2rem 0.8rem; min-height: 2.2rem; }
#status.trouble { border-left-color: #D55E00; }
/* every tab in sight: the bar wraps, so that nothing hides behind a menu */
#views .tab-container { overflow-x: visible; }
#menu { align-items: flex-end; }
#menu button { min-height: 44px; }
.words table { font-size: 0.9rem; display: table; width: auto; border: none !important; }
.words td, .words th { word-break: normal !important; overflow-wrap: normal !important; }
.words td, .words th { padding: 0.15rem 0.8rem !important; border: none !important; }
.words tr { border: none !important; }
.words tbody tr { border-top: 1px solid var(--border-color-primary) !important; }
.plot { border: none !important; padding: 0 !important; }
.js-plotly-plot .modebar { opacity: 0.75; }
button:focus-visible, input:focus-visible { outline: 3px solid var(--primary-500); outline-offset: 1px; }
footer { opacity: 0.8; }
@media (max-width: 640px) {
  .gradio-container { padding: 4px !important; }
  #views .tab-container button { padding: 0 7px !important; font-size: 0.84rem; }
  .js-plotly-plot .modebar { display: none; }
  .words td, .words th { padding: 0.15rem 0.35rem !important; }
}
"""


def preload() -> str:
    """A line of the page's head by which Plotly's script is fetched and read while the first answer is computed."""
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    return "".join(f'<link rel="modulepreload" href="./assets/{path.name}">' for path in assets.glob("PlotlyPlot-*.js"))


IS_DARK = "() => [document.body.classList.contains('dark')]"

# The address bar follows what is shown; on the Hub the page around this one is told, as its documentation asks.
SHOW_LINK = """(query) => {
  const shown = new URLSearchParams(query);
  const theme = new URLSearchParams(location.search).get('__theme');
  if (theme) shown.set('__theme', theme);
  const text = shown.toString();
  history.replaceState(history.state, '', location.pathname + (text ? '?' + text : ''));
  if (window.parent !== window) window.parent.postMessage({queryString: query}, 'https://huggingface.co');
  return location.origin + location.pathname + (query ? '?' + query : '');
}"""

# Gradio's page closes its stream of answers when the server says that none is outstanding. A question asked in that
# moment is answered into no stream: it waits on the server until the page asks anything else. So where something has
# been outstanding for some seconds, the page asks for nothing at all, which opens the stream again.
# The same clock names the figures for those who hear the page.
KEEP_UP = """() => {
  const names = {
    'spectrum-plot': 'Spectrum with its error band, residuals below', 'curves-plot': 'Light curves with fit',
    'image-plot': 'Time by wavelength', 'detector-plot': 'Detector before and after the step',
    'spot-plot': 'FGS1 with its aperture', 'parts-plot': 'Parts of sigma over wavelength',
    'occlusion-plot': 'What hiding data does', 'reliability-plot': 'Stated and found coverage',
    'what-if-plot': 'Spectrum and sigma under other conditions',
  };
  let waiting = 0;
  setInterval(() => {
    for (const plot of document.querySelectorAll('.plot .js-plotly-plot:not([role])')) {
      plot.setAttribute('role', 'figure');
      plot.setAttribute('aria-label', names[plot.closest('.plot').id] + '; described in the text beside it');
    }
    const shown = document.querySelector('[data-testid="status-tracker"]:not(.hide)');
    waiting = shown ? waiting + 1 : 0;
    if (waiting % 3 === 0 && shown) document.querySelector('#nudge')?.click();
  }, 1000);
}"""

SAVE_PICTURE = """async (query) => {
  const plot = document.querySelector('#spectrum-plot .js-plotly-plot');
  if (!plot || !window.Plotly) return;
  const page = document.body.classList.contains('dark') ? '#18181b' : '#ffffff';
  const planet = new URLSearchParams(query).get('planet') || 'upload';
  const layout = {...plot.layout, paper_bgcolor: page, plot_bgcolor: page, width: 1200, height: 720};
  const size = {format: 'png', width: 1200, height: 720, scale: 2};
  const picture = await window.Plotly.toImage({data: plot.data, layout}, size);
  const link = document.createElement('a');
  link.href = picture; link.download = `spectrum-${planet}.png`;
  document.body.appendChild(link); link.click(); link.remove();
}"""

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
