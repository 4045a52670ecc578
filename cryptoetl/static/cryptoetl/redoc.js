// A file of its own, as a page may run no script that stands in it.
const container = document.getElementById("redoc-container");
const fontFamily = "system-ui, sans-serif";
Redoc.init(container.dataset.schema, { theme: { typography: { fontFamily, headings: { fontFamily } } } }, container);
