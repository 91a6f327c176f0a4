import { endOfString, type JsonText } from "../../base/json-text.js";

/**
 * JSON text laid out for people: a member a line, indented by two; elements of arrays follow each other. Values stay as
 * they are written.
 * @returns the text as it was when it would become longer than `lengthMax`: deep nesting makes much white space
 */
export function pretty(text: JsonText, lengthMax: number): JsonText {
  const parts: string[] = [];
  let length = 0;
  const add = (part: string): void => {
    parts.push(part);
    length += part.length;
  };
  const objects: boolean[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    if (length > lengthMax) return text;
    const c = text.charAt(at);
    if (c === '"') {
      const end = endOfString(text, at);
      add(text.slice(at, end));
      at = end;
      continue;
    }
    at += 1;
    switch (c) {
      case "{":
      case "[": {
        const closing = /[^\s]/g;
        closing.lastIndex = at;
        const next = closing.exec(text);
        if (next?.[0] === "}" || next?.[0] === "]") {
          add(c + next[0]);
          at = next.index + 1;
          break;
        }
        objects.push(c === "{");
        if (c === "{") depth += 1;
        add(c === "{" ? `{\n${indent(depth)}` : "[");
        break;
      }
      case "}":
        objects.pop();
        depth -= 1;
        add(`\n${indent(depth)}}`);
        break;
      case "]":
        objects.pop();
        add("]");
        break;
      case ",":
        add(objects.at(-1) === true ? `,\n${indent(depth)}` : ", ");
        break;
      case ":":
        add(": ");
        break;
      case " ":
      case "\n":
      case "\r":
      case "\t":
        break;
      default:
        add(c);
    }
  }
  return length > lengthMax ? text : parts.join("");
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}
