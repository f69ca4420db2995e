// Copy a text that stands on the page: one key, one click. Without it the text can be selected.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const text = source.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // No clipboard without https: select it, the browser's own command copies what is selected.
      source.closest("details")?.setAttribute("open", "");
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return;
    }
    const say = document.getElementById("say");
    if (say) say.textContent = button.dataset.copied;
    const was = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = was; }, 2500);
  });
}
