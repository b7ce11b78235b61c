// The address bar follows what is shown, another planet or view as a new entry for the Back button; on the Hub the page
// around this one is told, as its documentation asks.
(query) => {
  const shown = new URLSearchParams(query), before = new URLSearchParams(location.search);
  const moved = history.state?.shown && ['planet', 'view'].some(name => shown.get(name) !== before.get(name));
  if (before.has('__theme')) shown.set('__theme', before.get('__theme'));
  const text = shown.toString();
  history[moved ? 'pushState' : 'replaceState']({shown: true}, '', location.pathname + (text ? '?' + text : ''));
  if (window.parent !== window) window.parent.postMessage({queryString: query}, 'https://huggingface.co');
  return location.origin + location.pathname + (query ? '?' + query : '');
}
