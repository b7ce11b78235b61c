// Gradio's page closes its stream of answers when the server says that none is outstanding. A question asked in that
// moment is answered into no stream: it waits on the server until the page asks anything else. So where something has
// been outstanding for some seconds, the page asks for nothing at all, which opens the stream again.
// The same clock names the figures for those who hear the page. Arrows move between tabs, Back between what was shown.
() => {
  const names = {
    'spectrum-plot': 'Spectrum with its error band, residuals below', 'curves-plot': 'Light curves with fit',
    'image-plot': 'Time by wavelength', 'detector-plot': 'Detector before and after the step',
    'spot-plot': 'FGS1 with its aperture', 'parts-plot': 'Parts of sigma over wavelength',
    'occlusion-plot': 'What hiding data does', 'reliability-plot': 'Stated and found coverage',
    'what-if-plot': 'Spectrum and sigma under other conditions', 'air-plot': 'Light hidden beyond the white transit',
    'stack-plot': 'Parts of sigma as one bar', 'more-plot': 'Expected significance against transits',
    'guess-plot': 'Spectrum to guess from',
    'transient-plot': 'Light curve of the transient by band, colours below',
  };
  window.addEventListener('popstate', () => document.querySelector('#back')?.click());
  document.addEventListener('keydown', event => {
    const tab = event.target.closest?.('[role=tab]');
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!tab || !step) return;
    const tabs = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]')].filter(one => one.offsetParent);
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    event.preventDefault();
    next.focus();
    next.click();
  });
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
}
