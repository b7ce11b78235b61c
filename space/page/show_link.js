// The address bar follows what is shown; on the Hub the page around this one is told, as its documentation asks.
(query) => {
  const shown = new URLSearchParams(query);
  const theme = new URLSearchParams(location.search).get('__theme');
  if (theme) shown.set('__theme', theme);
  const text = shown.toString();
  history.replaceState(history.state, '', location.pathname + (text ? '?' + text : ''));
  if (window.parent !== window) window.parent.postMessage({queryString: query}, 'https://huggingface.co');
  return location.origin + location.pathname + (query ? '?' + query : '');
}
