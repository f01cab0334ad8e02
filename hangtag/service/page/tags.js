// The one spelling of a tag that a person types: `normalise_tag` of hangtag/library/rules.py.

export function normaliseTag(text) {
  const folded = casefolded(text.normalize("NFC")).normalize("NFC");
  const words = folded.split(/\s+/).filter(Boolean);
  if (words.length === 1 && isEmoticon(words[0])) return words[0];
  return folded.replaceAll("_", " ").split(/\s+/).filter(Boolean).join(" ");
}

// Case folding, which JavaScript lacks: "STRASSE" and "straße" are the same.
const casefolded = text => [...text.toLowerCase()].map(one =>
  one === "ı" ? one : one.toUpperCase().toLowerCase().replaceAll("ς", "σ")).join("");

// Whether the underscores of a name are a mouth (^_^, o_o, 6_9) and not blanks.
function isEmoticon(name) {
  const characters = [...name];
  const letters = characters.filter(one => /[\p{L}\p{M}\p{N}]/u.test(one));
  const kinds = characters.map(one => letters.includes(one) ? "w" : one === "_" ? "_" : "s").join("");
  if (letters.length > 2 || kinds.includes("ww") || !/[ws]_+[ws]/.test(kinds)) return false;
  return new Set(letters).size < 2 || letters.every(one => /\p{Nd}/u.test(one));
}
