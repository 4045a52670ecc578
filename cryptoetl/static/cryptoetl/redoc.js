// A file of its own, as a page may run no script that stands in it.
const container = document.getElementById("redoc-container");
const fontFamily = "system-ui, sans-serif";
const theme = { colors: { primary: { main: "#0f766e" } }, typography: { fontFamily, headings: { fontFamily } } };
Redoc.init(container.dataset.schema, { theme }, container);
