// The spectrum as a picture that can be passed on: above it what the page says of the planet, and where it is from.
async (query) => {
  const plot = document.querySelector('#spectrum-plot .js-plotly-plot');
  if (!plot || !window.Plotly) return;
  const dark = document.body.classList.contains('dark'), page = dark ? '#18181b' : '#ffffff';
  const planet = new URLSearchParams(query).get('planet') || 'upload', own = ['upload', 'yours'].includes(planet);
  const said = (id) => document.querySelector(id)?.innerText.trim().replace(/\s+/g, ' ') || '';
  const plain = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  const name = said('#status');  // of an upload without whom it is shown to
  const lines = said('#verdict').match(/.{1,160}(?:\s|$)/g) || [];
  const small = [...lines, `Ariel spectra · ${location.origin}${location.pathname}${own ? '' : '?' + query}`];
  const text = `<b>${plain(own ? name.split(' · ')[0] : name)}</b><br>` +
    small.map(line => `<span style="font-size:13px">${plain(line.trim())}</span>`).join('<br>');
  const title = {text, x: 0.01, xanchor: 'left', y: 0.965, yanchor: 'top', yref: 'container', automargin: false,
                 font: {size: 20, color: dark ? '#f4f4f5' : '#000000'}};
  const margin = {...plot.layout.margin, t: 64 + 21 * small.length, b: 12};
  const layout = {...plot.layout, title, margin, paper_bgcolor: page, plot_bgcolor: page, width: 1200, height: 720};
  const size = {format: 'png', width: 1200, height: 720, scale: 2};
  const picture = await window.Plotly.toImage({data: plot.data, layout}, size);
  const link = document.createElement('a');
  link.href = picture; link.download = `spectrum-${own ? 'upload' : planet}.png`;
  document.body.appendChild(link); link.click(); link.remove();
}
