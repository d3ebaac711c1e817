// Elements with text in them, which is only ever set as text.

export function element(name, className = "", content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

/** Set text only if it is another: what is selected stays selected, and what was said is not said again. */
export function write(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

/** Make these the children of `place`, in this order; what stands right is not touched. */
export function arrange(place, children) {
  const wanted = new Set(children);
  for (const child of [...place.children]) if (!wanted.has(child)) child.remove();
  let at = place.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else place.insertBefore(child, at);
  }
}
