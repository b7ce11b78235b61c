// In a frame made of a text (srcdoc) a link to a section would leave the page.
document.addEventListener("click", event => {
  const hash = event.target.closest('a[href^="#"]')?.hash;
  if (!hash) return;
  event.preventDefault();
  document.getElementById(hash.slice(1))?.scrollIntoView();
});
