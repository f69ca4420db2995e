// The one-line diagram: the whole name of what was cut, where it is pointed at or focused.

const line = (event) => {
  const cut = event.target.closest?.("[data-full]");
  return cut && [cut.dataset.full, cut.closest("svg").parentElement.querySelector(".oneline-full")];
};

for (const kind of ["focusin", "pointerover"]) {
  document.addEventListener(kind, (event) => {
    const found = line(event);
    if (found?.[1]) found[1].textContent = found[0];
  });
}
for (const kind of ["focusout", "pointerout"]) {
  document.addEventListener(kind, (event) => {
    const found = line(event);
    if (found?.[1]) found[1].textContent = "";
  });
}
