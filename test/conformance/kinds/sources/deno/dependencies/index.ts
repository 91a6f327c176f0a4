import greeting from "weft-greeting";

export function main(): { greeting: string } {
  return { greeting };
}
