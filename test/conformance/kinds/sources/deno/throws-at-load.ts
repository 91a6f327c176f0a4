function prepare(): never {
  throw new Error("no luck"); // @here
}

prepare();

export const main = (): unknown => ({ fine: true });
