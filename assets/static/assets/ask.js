// A field of a form that was left empty is not asked for.
for (const form of document.querySelectorAll("form.ask")) {
  form.addEventListener("submit", () => {
    for (const field of form.querySelectorAll("input, select")) field.disabled = !field.value;
  });
}
