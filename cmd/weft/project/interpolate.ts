// Variables in the texts of a manifest: $NAME at the start, ${NAME} anywhere, $${NAME} for the text ${NAME} itself.

export type Variables = (name: string) => string | undefined;

/** @param missing is told of every name that has no value; it becomes "" */
export function interpolate(text: string, variables: Variables, missing: (name: string) => void): string {
  if (!hasVariables(text)) return text;
  return text.replace(
    /\$\$\{(\w+)\}|\$\{(\w+)\}|\$(\w+)/g,
    (_all, escaped?: string, braced?: string, bare?: string) => {
      if (escaped !== undefined) return `\${${escaped}}`;
      const name = braced ?? bare ?? "";
      const value = variables(name);
      if (value === undefined) missing(name);
      return value ?? "";
    },
  );
}

/** OpenWhisk's rule: a dollar sign inside a text is one, unless the text has a name in braces. */
function hasVariables(text: string): boolean {
  return (text.startsWith("$") && text.length > 1) || /\$\{\w+\}/.test(text);
}
