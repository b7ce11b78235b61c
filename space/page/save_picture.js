async (query) => {
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
}
