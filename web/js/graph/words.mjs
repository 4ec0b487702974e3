/** Numbers for people. */

/**
 * @param {number} seconds
 * @returns {string} two or three digits
 */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${hours.toLocaleString("en")} h`;
}

/**
 * @param {number} number of bytes
 * @returns {string}
 */
export function bytes(number) {
  const gib = number / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.round(number / 2 ** 20)} MiB`;
}

/**
 * @param {number} count
 * @param {string} what in the singular
 * @returns {string} "1 step", "1,000 steps"
 */
export function plural(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/**
 * @param {[number, number][]} stretches steps and evaluations in each of them
 * @returns {string} "15 × 3 + 35 × 2", empty for a single stretch of one each
 */
export function terms(stretches) {
  if (stretches.length === 1 && stretches[0][1] === 1) return "";
  return stretches.map(([steps, each]) => `${steps} × ${each}`).join(" + ");
}

/**
 * @param {Element} parent
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 * @returns {HTMLElement} the child that was added
 */
export function child(parent, tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}
