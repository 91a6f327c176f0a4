export const nested: string = "nested";
