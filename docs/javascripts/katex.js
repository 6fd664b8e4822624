document$.subscribe(({ body }) => {
  if (!window.katex || !window.renderMathInElement) return; // not loaded: the TeX stays as it is
  renderMathInElement(body, {
    delimiters: [
      { left: "\\(", right: "\\)", display: false },
      { left: "\\[", right: "\\]", display: true },
    ],
  });
});
