"use strict";
(() => {
  const places = [...document.querySelectorAll("div[data-figure]")];
  // Only a change of width counts: a plot has its own height.
  const fit = new ResizeObserver((changes) => {
    for (const { target, contentRect } of changes) {
      if (contentRect.width > 0 && Math.abs(contentRect.width - target._fullLayout.width) > 1) {
        Plotly.relayout(target, { width: contentRect.width });
      }
    }
  });
  for (const place of places) {
    const { data, layout } = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    Plotly.newPlot(place, data, layout, { displayModeBar: false }).then(() => fit.observe(place));
  }
  for (const button of document.querySelectorAll("button[data-change]")) {
    button.addEventListener("click", () => {
      Plotly.relayout(document.getElementById(button.dataset.plot), JSON.parse(button.dataset.change));
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
    });
  }
  // Paper is laid out after this event, too late for the observer; A4 and Letter have room for these widths.
  window.addEventListener("beforeprint", () => {
    for (const place of places) Plotly.relayout(place, { width: place.closest(".pair") ? 310 : 640 });
  });
  window.addEventListener("afterprint", () => {
    for (const place of places) Plotly.relayout(place, { width: place.clientWidth });
  });
})();
